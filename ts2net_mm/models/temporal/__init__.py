"""Exchange between the frames of a video."""

from .transformer import TemporalTransformer

__all__ = ['TemporalTransformer']
