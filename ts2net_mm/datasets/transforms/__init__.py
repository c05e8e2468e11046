"""Transforms that MMAction2 does not have."""

from .clip_inputs import CLIPResize, TokenizeCaptions
from .decoding import FrameFolderInit, GuardedDecordInit, VideoDecode, VideoInit
from .sampling import ReorderFrames, SampleFramesByRate, frames_by_rate, frames_by_time

__all__ = [
    'CLIPResize',
    'FrameFolderInit',
    'GuardedDecordInit',
    'ReorderFrames',
    'SampleFramesByRate',
    'TokenizeCaptions',
    'VideoDecode',
    'VideoInit',
    'frames_by_rate',
    'frames_by_time',
]
