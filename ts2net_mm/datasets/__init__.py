"""Text-video data sets, their transforms and samplers."""

from .samplers import DistinctGroupBatchSampler
from .text_video_dataset import TextVideoDataset
from .transforms import CLIPResize, SampleFramesByRate, TokenizeCaptions
from .video_errors import UnreadableVideoError

__all__ = [
    'CLIPResize',
    'DistinctGroupBatchSampler',
    'SampleFramesByRate',
    'TextVideoDataset',
    'TokenizeCaptions',
    'UnreadableVideoError',
]
