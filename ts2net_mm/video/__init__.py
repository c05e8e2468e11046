"""Reading video files."""

from .guarded_reader import DecoderStartError, GuardedVideoReader
from .reader import NoFramesError, VideoReader

__all__ = ['DecoderStartError', 'GuardedVideoReader', 'NoFramesError', 'VideoReader']
