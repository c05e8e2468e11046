"""Find and read video files."""

from .guarded_reader import DecoderStartError, GuardedVideoReader

__all__ = ['DecoderStartError', 'GuardedVideoReader']
