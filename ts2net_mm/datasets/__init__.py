"""Text-video data sets, their transforms and samplers."""

from .samplers import DistinctGroupBatchSampler
from .text_video_dataset import TextVideoDataset
from .transforms import SampleFramesByRate, TokenizeCaptions
from .video_errors import UnreadableVideoError

__all__ = [
    'DistinctGroupBatchSampler',
    'SampleFramesByRate',
    'TextVideoDataset',
    'TokenizeCaptions',
    'UnreadableVideoError',
]
