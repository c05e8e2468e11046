"""Decoding in a process of its own, which a damaged video may crash or hang."""

from .guarded_reader import DecoderStartError, GuardedVideoReader

__all__ = ['DecoderStartError', 'GuardedVideoReader']
