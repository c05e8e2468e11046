"""Transforms that MMAction2 does not have."""

from .clip_resize import CLIPResize
from .guarded_decord_init import GuardedDecordInit
from .sample_frames import SampleFramesByRate, frames_by_rate
from .tokenize_captions import TokenizeCaptions
from .video_decoding import VideoDecode, VideoInit

__all__ = [
    'CLIPResize',
    'GuardedDecordInit',
    'SampleFramesByRate',
    'TokenizeCaptions',
    'VideoDecode',
    'VideoInit',
    'frames_by_rate',
]
