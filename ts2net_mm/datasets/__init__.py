"""Text-video data sets, their transforms and samplers."""

from ..video.errors import UnreadableVideoError
from .bad_videos import BadVideo, BadVideosError
from .frame_store import FrameStoreDecode, FrameStoreError, FrameStoreInit
from .rendered_dataset import DrawVideo, RenderedVideoDataset
from .samplers import DistinctGroupBatchSampler
from .text_video_dataset import TextVideoDataset
from .transforms import (
    CLIPResize,
    FrameFolderInit,
    GuardedDecordInit,
    SampleFramesByRate,
    TokenizeCaptions,
    VideoDecode,
    VideoInit,
)

__all__ = [
    'BadVideo',
    'BadVideosError',
    'CLIPResize',
    'DistinctGroupBatchSampler',
    'DrawVideo',
    'FrameFolderInit',
    'FrameStoreDecode',
    'FrameStoreError',
    'FrameStoreInit',
    'GuardedDecordInit',
    'RenderedVideoDataset',
    'SampleFramesByRate',
    'TextVideoDataset',
    'TokenizeCaptions',
    'UnreadableVideoError',
    'VideoDecode',
    'VideoInit',
]
