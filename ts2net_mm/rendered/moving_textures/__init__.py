"""Moving textures: random dots, of which only the movement says in which direction they go."""

from dataclasses import asdict
from functools import partial

from ..planning import RenderedSet
from .grammar import DIRECTIONS, GROUNDS, Meaning, all_captions, all_meanings
from .scene import FPS, FRAME_SIZE, NUM_FRAMES, STEPS, Difficulty, Scene, sample_scene

__all__ = [
    'DIRECTIONS',
    'FPS',
    'FRAME_SIZE',
    'GROUNDS',
    'NUM_FRAMES',
    'STEPS',
    'Difficulty',
    'Meaning',
    'Scene',
    'all_captions',
    'all_meanings',
    'moving_textures',
    'sample_scene',
]


def moving_textures(difficulty: Difficulty | None = None) -> RenderedSet:
    """Describe the data set: 64 meanings each for validation and test, 128 to learn from.

    All held-out meanings are in reversal pairs, which differ only in the movement.
    """
    difficulty = difficulty or Difficulty()
    return RenderedSet(
        name='moving_textures',
        version=2,
        fps=FPS,
        all_meanings=all_meanings,
        all_captions=all_captions,
        sample_scene=partial(sample_scene, difficulty=difficulty),
        held_out=(64, 0),
        settings=asdict(difficulty),
    )
