"""Small objects: the sentence names a small shape among large ones and clutter.

The meanings and sentences are those of moving shapes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial

import numpy as np

from .moving_shapes.grammar import COLOURS, EVENTS, SHAPES, Meaning, all_captions, all_meanings
from .moving_shapes.scene import (
    FPS,
    FRAME_SIZE,
    NUM_FRAMES,
    MovingShape,
    repeat_background,
    sample_background,
    sample_track,
)
from .planning import RenderedSet

__all__ = ['Difficulty', 'Scene', 'sample_scene', 'small_objects']

_LARGE_RADIUS = (13.0, 17.0)  # pixels
_LARGE_DISTANCE = (0.3, 0.5)  # of the frame size
_LARGE_GROWTH = (1.3, 1.6)  # so that a large shape stays larger than the named object
_LARGEST_NAMED = 8
_CLUTTER_RADIUS = (2.0, 7.0)
_CLUTTER_GREY = (20.0, 140.0)


@dataclass(frozen=True)
class Difficulty:
    """How hard the object is to find.

    Each field describes itself.

    Raises:
        ValueError: If a number is out of its range.
    """

    radius: float = field(
        default=6.0, metadata=dict(help='radius of the named object at its largest, in pixels')
    )
    num_distractors: int = field(
        default=3, metadata=dict(help='large coloured shapes that move, grow or shrink')
    )
    num_clutter: int = field(default=30, metadata=dict(help='small grey shapes that stand still'))

    def __post_init__(self) -> None:
        if not 1 <= self.radius <= _LARGEST_NAMED:
            raise ValueError(f'radius={self.radius}: expected 1 to {_LARGEST_NAMED}')
        for name in ('num_distractors', 'num_clutter'):
            if getattr(self, name) < 0:
                raise ValueError(f'{name}={getattr(self, name)}: expected at least 0')


@dataclass(frozen=True)
class Scene:
    """The content of a video.

    Args:
        background: The picture behind everything that moves, (1, H, W, 3), uint8, RGB.
        distractors: Large shapes, the farthest first.
        named: What the sentence names, in front of all.
    """

    background: np.ndarray
    distractors: list[MovingShape]
    named: MovingShape

    def draw(self) -> np.ndarray:
        """Draw the frames: (T, H, W, 3), uint8, RGB."""
        frames = np.repeat(self.background, NUM_FRAMES, axis=0)
        for shape in (*self.distractors, self.named):
            shape.paint(frames)
        return frames

    @property
    def boxes(self) -> np.ndarray:
        """The pixels of the named object: (T, 4) of x0, y0, x1, y1 (exclusive)."""
        return self.named.boxes


def sample_scene(meaning: Meaning, rng: np.random.Generator, *, difficulty: Difficulty) -> Scene:
    """Sample a scene in which a small object shows ``meaning``.

    Args:
        meaning: The meaning of the video.
        rng: Source of all choices.
        difficulty: Size of the object, and how much else there is.
    """
    radius = (0.85 * difficulty.radius, difficulty.radius)
    track = sample_track(meaning.events, rng, largest_radius=radius)
    background = repeat_background(sample_background(rng), 1)
    for _ in range(difficulty.num_clutter):
        _sample_clutter(rng).paint(background)
    others = [colour for colour in COLOURS if colour != meaning.colour]  # it stays visible
    distractors = [_sample_distractor(others, rng) for _ in range(difficulty.num_distractors)]
    return Scene(background, distractors, MovingShape(meaning.colour, meaning.shape, *track))


def small_objects(difficulty: Difficulty | None = None) -> RenderedSet:
    """Describe the data set, with the splits of moving shapes."""
    difficulty = difficulty or Difficulty()
    return RenderedSet(
        name='small_objects',
        version=1,
        fps=FPS,
        all_meanings=all_meanings,
        all_captions=all_captions,
        sample_scene=partial(sample_scene, difficulty=difficulty),
        settings=asdict(difficulty),
    )


def _sample_distractor(colours: list[str], rng: np.random.Generator) -> MovingShape:
    events = tuple(rng.permutation(EVENTS)[: rng.integers(1, 3)])
    track = sample_track(
        events,
        rng,
        largest_radius=_LARGE_RADIUS,
        distance=_LARGE_DISTANCE,
        growth=_LARGE_GROWTH,
    )
    return MovingShape(str(rng.choice(colours)), str(rng.choice(SHAPES)), *track)


def _sample_clutter(rng: np.random.Generator) -> MovingShape:
    radius = rng.uniform(*_CLUTTER_RADIUS)
    centre = rng.uniform(radius + 1, FRAME_SIZE - radius - 2, size=2)
    return MovingShape(
        rng.uniform(*_CLUTTER_GREY),
        str(rng.choice(SHAPES)),
        centre[None],
        np.array([radius]),
    )
