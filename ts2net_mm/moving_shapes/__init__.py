"""Moving shapes: a small text-video data set that is rendered rather than downloaded."""

from .grammar import COLOURS, EVENTS, SHAPES, Meaning, all_captions, all_meanings
from .plan import SPLITS, Video, plan_videos
from .render import RenderSummary, render_moving_shapes
from .scene import FPS, FRAME_SIZE, NUM_FRAMES, Scene, draw_frames, sample_scene
from .split import HeldOut, Split, split_meanings

__all__ = [
    'COLOURS',
    'EVENTS',
    'FPS',
    'FRAME_SIZE',
    'NUM_FRAMES',
    'SHAPES',
    'SPLITS',
    'HeldOut',
    'Meaning',
    'RenderSummary',
    'Scene',
    'Split',
    'Video',
    'all_captions',
    'all_meanings',
    'draw_frames',
    'plan_videos',
    'render_moving_shapes',
    'sample_scene',
    'split_meanings',
]
