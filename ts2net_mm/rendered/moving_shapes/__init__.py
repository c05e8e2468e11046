"""Moving shapes: one coloured shape that moves, grows or shrinks."""

from ..planning import RenderedSet
from .grammar import COLOURS, EVENTS, SHAPES, Meaning, all_captions, all_meanings
from .scene import FPS, FRAME_SIZE, NUM_FRAMES, Scene, sample_scene

__all__ = [
    'COLOURS',
    'EVENTS',
    'FPS',
    'FRAME_SIZE',
    'MOVING_SHAPES',
    'NUM_FRAMES',
    'SHAPES',
    'Meaning',
    'Scene',
    'all_captions',
    'all_meanings',
    'sample_scene',
]

MOVING_SHAPES = RenderedSet(
    name='moving_shapes',
    version=2,
    fps=FPS,
    all_meanings=all_meanings,
    all_captions=all_captions,
    sample_scene=sample_scene,
)
