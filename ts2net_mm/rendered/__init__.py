"""Data sets that are rendered rather than downloaded: videos of a grammar's sentences."""

from . import moving_shapes, moving_textures, small_objects
from .mp4 import encode_mp4, is_complete_mp4
from .planning import SPLITS, HeldOut, RenderedSet, Split, Video, split_meanings
from .rendering import RenderSummary, render
from .sets import rendered_set

__all__ = [
    'SPLITS',
    'HeldOut',
    'RenderSummary',
    'RenderedSet',
    'Split',
    'Video',
    'encode_mp4',
    'is_complete_mp4',
    'moving_shapes',
    'moving_textures',
    'render',
    'rendered_set',
    'small_objects',
    'split_meanings',
]
