"""Coloured dots whose movement alone shows a meaning: every single frame is random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..moving_shapes.scene import RGB, MovingShape
from .grammar import GROUNDS, SIDES, Meaning, Motion

__all__ = ['FPS', 'FRAME_SIZE', 'NUM_FRAMES', 'Difficulty', 'Scene', 'sample_scene', 'step_of']

FRAME_SIZE = 48  # pixels
NUM_FRAMES = 12
FPS = 12

_STEPS = {'slow': 4.0, 'fast': 8.0}  # pixels between two frames
_ANGLES = {'slow': 0.3, 'fast': 0.6}  # radians between two frames
_GROWTHS = {'slow': 1.2, 'fast': 1.4}  # factor of the distance from the centre
_DIRECTIONS = {'left': (-1, 0), 'right': (1, 0), 'up': (0, -1), 'down': (0, 1)}
_GREY = 30
_GROUND = 0.3  # brightness of a named background


@dataclass(frozen=True)
class Difficulty:
    """How hard the movement is to see.

    Each field describes itself.

    Raises:
        ValueError: If a number is out of its range.
    """

    num_dots: int = field(default=6, metadata=dict(help='dots in each half of the picture'))
    radius: float = field(default=2.5, metadata=dict(help='radius of a dot in pixels'))
    num_colours: int = field(
        default=6, metadata=dict(help='colours of the dots; fewer make matching harder')
    )
    lifetime: float = field(
        default=0.0, metadata=dict(help='mean frames before a moving dot is replaced; 0: no limit')
    )
    noise: float = field(
        default=0.0, metadata=dict(help='share of the dots that do not take part, 0 to 1')
    )
    num_grounds: int = field(
        default=0, metadata=dict(help='backgrounds that the sentences name, which frames show')
    )

    def __post_init__(self) -> None:
        for name, is_valid, expected in (
            ('num_dots', self.num_dots >= 1, 'at least 1'),
            ('radius', 0 < self.radius < FRAME_SIZE / 4, f'between 0 and {FRAME_SIZE // 4}'),
            ('num_colours', 1 <= self.num_colours <= len(RGB), f'1 to {len(RGB)}'),
            ('num_grounds', 0 <= self.num_grounds <= len(GROUNDS), f'0 to {len(GROUNDS)}'),
            ('lifetime', self.lifetime == 0 or self.lifetime > 1, '0, or more than 1'),
            ('noise', 0 <= self.noise <= 1, '0 to 1'),
        ):
            if not is_valid:
                raise ValueError(f'{name}={getattr(self, name)}: expected {expected}')


@dataclass(frozen=True)
class Scene:
    """The dots of a video.

    Args:
        meaning: What they show.
        positions: Position of each dot in each frame, x and y in pixels.
        colours: Number of its colour in each frame.
        radius: Radius of the dots in pixels.

    Shape:
        positions: (T, N, 2). colours: (T, N).
    """

    meaning: Meaning
    positions: np.ndarray
    colours: np.ndarray
    radius: float

    def draw(self) -> np.ndarray:
        """Draw the frames: (T, H, W, 3), uint8, RGB."""
        margin = int(np.ceil(self.radius)) + 1  # dots at the border are cut off
        size = FRAME_SIZE + 2 * margin
        named = self.meaning.ground
        ground = np.rint(np.array(RGB[named]) * _GROUND if named else np.full(3, _GREY))
        frames = np.tile(ground.astype(np.uint8), (len(self.positions), size, size, 1))
        names = list(RGB)
        for frame, positions, colours in zip(frames, self.positions, self.colours, strict=True):
            for position, colour in zip(positions, colours, strict=True):
                centre, radius = position[None] + margin, np.array([self.radius])
                MovingShape(names[colour], 'circle', centre, radius).paint(frame[None])
        return frames[:, margin:-margin, margin:-margin]

    @property
    def boxes(self) -> np.ndarray:
        """The part of the picture that moves: (T, 4) of x0, y0, x1, y1 (exclusive)."""
        half = FRAME_SIZE // 2
        sides = [SIDES.index(side) for side, _ in self.meaning.moving]
        box = (half * min(sides), 0, half * (max(sides) + 1), FRAME_SIZE)
        return np.tile(box, (len(self.positions), 1))


def sample_scene(meaning: Meaning, rng: np.random.Generator, *, difficulty: Difficulty) -> Scene:
    """Sample a scene that shows ``meaning``.

    In every frame, the positions and colours of the dots are independent and uniform, whatever the
    meaning; so no frame alone says anything about it.

    Args:
        meaning: The meaning of the video.
        rng: Source of all choices.
        difficulty: How hard it is to see.
    """
    halves = [_sample_half(motion, difficulty, rng) for motion in meaning.motions]
    positions = np.concatenate(
        [place + (side * FRAME_SIZE / 2, 0) for side, (place, _) in enumerate(halves)], axis=1
    )
    colours = np.concatenate([colours for _, colours in halves], axis=1)
    return Scene(meaning, positions, colours, difficulty.radius)


def step_of(motion: Motion) -> tuple[Callable[[np.ndarray], np.ndarray], float]:
    """Return what a movement does to positions in a half in one frame, and its area factor."""
    centre = np.array([FRAME_SIZE / 4, FRAME_SIZE / 2])
    if motion.kind in _DIRECTIONS:
        offset = _STEPS[motion.speed] * np.array(_DIRECTIONS[motion.kind])
        return lambda position: position + offset, 1.0
    if motion.kind in ('clockwise', 'anticlockwise'):
        angle = _ANGLES[motion.speed] * (1 if motion.kind == 'clockwise' else -1)
        cos, sin = np.cos(angle), np.sin(angle)
        matrix = np.array([[cos, sin], [-sin, cos]])  # of rows; y points down
        return lambda position: (position - centre) @ matrix + centre, 1.0
    growth = _GROWTHS[motion.speed] ** (1 if motion.kind == 'expands' else -1)
    return lambda position: (position - centre) * growth + centre, growth**2


def _sample_half(
    motion: Motion | None, difficulty: Difficulty, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Sample positions (T, N, 2) and colours (T, N) of the dots of a half."""
    num_dots = difficulty.num_dots
    position = _uniform(num_dots, rng)
    colour = rng.integers(difficulty.num_colours, size=num_dots)
    is_noise = rng.random(num_dots) < (1 if motion is None else difficulty.noise)
    positions, colours = [position], [colour]
    for _ in range(NUM_FRAMES - 1):
        moved, survives = position, np.zeros(num_dots, dtype=bool)
        born = _uniform(num_dots, rng)
        if motion is not None:
            moved, survives, born_among_moving = _move(motion, position, difficulty, rng)
            survives &= ~is_noise
            born[~is_noise] = born_among_moving[~is_noise]
        position = np.where(survives[:, None], moved, born)
        new_colour = rng.integers(difficulty.num_colours, size=num_dots)
        colour = np.where(survives, colour, new_colour)
        positions.append(position)
        colours.append(colour)
    return np.stack(positions), np.stack(colours)


def _move(
    motion: Motion, position: np.ndarray, difficulty: Difficulty, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return moved positions, which of them survive, and a new position for the others.

    Uniform dots stay uniform: where survivors are thinner than that, or none arrive, new ones are
    born in proportion to what is missing. Played backwards, it is the opposite movement.
    """
    step, area = step_of(motion)
    back, _ = step_of(motion.reversal)
    keep = min(1.0, area) * (1 - 1 / difficulty.lifetime if difficulty.lifetime else 1)
    moved = step(position)
    survives = _is_inside(moved) & (rng.random(len(position)) < keep)
    born = np.empty_like(position)
    waiting = np.flatnonzero(~survives)
    while len(waiting):
        place = _uniform(len(waiting), rng)
        density = np.where(_is_inside(back(place)), keep / area, 0.0)  # of the survivors
        accepted = rng.random(len(waiting)) >= density
        born[waiting[accepted]] = place[accepted]
        waiting = waiting[~accepted]
    return moved, survives, born


def _uniform(num_dots: int, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform((0, 0), (FRAME_SIZE / 2, FRAME_SIZE), size=(num_dots, 2))


def _is_inside(position: np.ndarray) -> np.ndarray:
    return np.all((position >= 0) & (position < (FRAME_SIZE / 2, FRAME_SIZE)), axis=1)
