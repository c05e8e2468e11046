"""Moving shapes: a small text-video data set that is rendered rather than downloaded."""

from .grammar import (
    COLOURS,
    EVENTS,
    SHAPES,
    SPLITS,
    HeldOut,
    Meaning,
    Split,
    all_captions,
    all_meanings,
    split_meanings,
)
from .rendering import RenderSummary, render_moving_shapes
from .scene import (
    FPS,
    FRAME_SIZE,
    NUM_FRAMES,
    Scene,
    Video,
    draw_frames,
    plan_videos,
    sample_scene,
)

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
