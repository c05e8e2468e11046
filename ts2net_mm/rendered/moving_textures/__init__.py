"""Moving textures: random dots, of which only the movement says what the sentence says."""

from dataclasses import asdict
from functools import partial

from ..planning import RenderedSet
from .grammar import GROUNDS, MOTIONS, SIDES, SPEEDS, Meaning, Motion, all_captions, all_meanings
from .scene import FPS, FRAME_SIZE, NUM_FRAMES, Difficulty, Scene, sample_scene, step_of

__all__ = [
    'FPS',
    'FRAME_SIZE',
    'GROUNDS',
    'MOTIONS',
    'NUM_FRAMES',
    'SIDES',
    'SPEEDS',
    'Difficulty',
    'Meaning',
    'Motion',
    'Scene',
    'all_captions',
    'all_meanings',
    'moving_textures',
    'sample_scene',
    'step_of',
]


def moving_textures(difficulty: Difficulty | None = None) -> RenderedSet:
    """Describe the data set: 80 meanings each for validation and test, the rest to learn from."""
    difficulty = difficulty or Difficulty()
    return RenderedSet(
        name='moving_textures',
        version=1,
        fps=FPS,
        all_meanings=partial(all_meanings, difficulty.num_grounds),
        all_captions=all_captions,
        sample_scene=partial(sample_scene, difficulty=difficulty),
        held_out=(40, 40),
        settings=asdict(difficulty),
    )
