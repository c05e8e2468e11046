"""Transforms that MMAction2 does not have."""

from .clip_resize import CLIPResize
from .frame_folder import FrameFolderInit
from .frame_store import FrameStoreDecode, FrameStoreInit
from .guarded_decord_init import GuardedDecordInit
from .sample_frames import SampleFramesByRate, frames_by_rate
from .tokenize_captions import TokenizeCaptions
from .video_decoding import VideoDecode, VideoInit

__all__ = [
    'CLIPResize',
    'FrameFolderInit',
    'FrameStoreDecode',
    'FrameStoreInit',
    'GuardedDecordInit',
    'SampleFramesByRate',
    'TokenizeCaptions',
    'VideoDecode',
    'VideoInit',
    'frames_by_rate',
]
