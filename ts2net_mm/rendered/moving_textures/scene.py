"""Coloured dots whose movement alone shows a direction: every single frame is random."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..moving_shapes.scene import RGB
from .grammar import Meaning

__all__ = ['FPS', 'FRAME_SIZE', 'NUM_FRAMES', 'STEPS', 'Difficulty', 'Scene', 'sample_scene']

FRAME_SIZE = 48  # pixels
NUM_FRAMES = 6
FPS = 6
STEPS = {'left': (-1, 0), 'right': (1, 0), 'up': (0, -1), 'down': (0, 1)}
_GROUND = 0.3  # brightness


@dataclass(frozen=True)
class Difficulty:
    """How hard the movement is to see.

    Each field describes itself.

    Raises:
        ValueError: If a number is out of its range.
    """

    num_dots: int = field(default=3, metadata=dict(help='dots of the picture'))
    radius: float = field(default=4.0, metadata=dict(help='radius of a dot in pixels'))
    step: int = field(default=12, metadata=dict(help='pixels that dots move between two frames'))
    grid: int = field(
        default=12,
        metadata=dict(help='pixels between the places where dots can be; 1: anywhere'),
    )
    num_colours: int = field(
        default=6, metadata=dict(help='colours of the dots; fewer make matching harder')
    )
    lifetime: float = field(
        default=0.0, metadata=dict(help='mean frames before a moving dot is replaced; 0: no limit')
    )
    noise: float = field(
        default=0.0, metadata=dict(help='share of the dots that do not take part, 0 to 1')
    )

    def __post_init__(self) -> None:
        divides = self.grid >= 1 and FRAME_SIZE % self.grid == 0 and self.step % self.grid == 0
        for name, is_valid, expected in (
            ('num_dots', self.num_dots >= 1, 'at least 1'),
            ('radius', 0 < self.radius < FRAME_SIZE / 4, f'between 0 and {FRAME_SIZE // 4}'),
            ('step', 1 <= self.step < FRAME_SIZE, f'1 to {FRAME_SIZE - 1}'),
            ('grid', divides, f'a divisor of step={self.step} and of {FRAME_SIZE}'),
            ('num_colours', 1 <= self.num_colours <= len(RGB), f'1 to {len(RGB)}'),
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
        """Draw the frames: (T, H, W, 3), uint8, RGB; dots at the border are cut off."""
        colours = np.array(list(RGB.values()), np.float32)[self.colours]
        above, below = (
            np.rint(_GROUND * np.array(RGB[ground], np.float32))
            for ground in (self.meaning.above, self.meaning.below)
        )
        frames = np.empty((len(self.positions), FRAME_SIZE, FRAME_SIZE, 3), np.float32)
        frames[:, : FRAME_SIZE // 2], frames[:, FRAME_SIZE // 2 :] = above, below
        place = np.arange(FRAME_SIZE, dtype=np.float32)
        for dot in range(self.positions.shape[1]):
            x, y = self.positions[:, dot, :, None].astype(np.float32).transpose(1, 0, 2)
            distance = np.hypot((place - x)[:, None], (place - y)[:, :, None]) - self.radius
            coverage = np.clip(0.5 - distance, 0, 1)[..., None]
            frames += coverage * (colours[:, dot, None, None] - frames)
        return np.rint(frames).astype(np.uint8)

    @property
    def boxes(self) -> np.ndarray:
        """The whole picture moves: (T, 4) of x0, y0, x1, y1 (exclusive)."""
        return np.tile((0, 0, FRAME_SIZE, FRAME_SIZE), (len(self.positions), 1))


def sample_scene(meaning: Meaning, rng: np.random.Generator, *, difficulty: Difficulty) -> Scene:
    """Sample a scene that shows ``meaning``.

    In every frame, the places and colours of the dots are independent and uniform, whatever the
    direction; so no frame alone says anything about it. Played backwards, it is a scene of the
    opposite direction.

    Args:
        meaning: The meaning of the video.
        rng: Source of all choices.
        difficulty: How hard it is to see.
    """
    offset = difficulty.step * np.array(STEPS[meaning.direction])
    num_dots = difficulty.num_dots
    position = _uniform(num_dots, difficulty.grid, rng)
    colour = rng.integers(difficulty.num_colours, size=num_dots)
    is_noise = rng.random(num_dots) < difficulty.noise
    positions, colours = [position], [colour]
    for _ in range(NUM_FRAMES - 1):
        survives, born = _next(position, offset, difficulty, rng)
        survives &= ~is_noise
        born[is_noise] = _uniform(int(is_noise.sum()), difficulty.grid, rng)
        position = np.where(survives[:, None], position + offset, born)
        new_colour = rng.integers(difficulty.num_colours, size=num_dots)
        colour = np.where(survives, colour, new_colour)
        positions.append(position)
        colours.append(colour)
    return Scene(meaning, np.stack(positions), np.stack(colours), difficulty.radius)


def _next(
    position: np.ndarray, offset: np.ndarray, difficulty: Difficulty, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Tell which dots survive a step, and a new place for the others.

    Uniform dots stay uniform: where survivors are thinner than that, or none arrive, new ones are
    born in proportion to what is missing.
    """
    keep = 1 - 1 / difficulty.lifetime if difficulty.lifetime else 1.0
    survives = _is_inside(position + offset) & (rng.random(len(position)) < keep)
    born = np.empty_like(position)
    waiting = np.flatnonzero(~survives)
    while len(waiting):
        place = _uniform(len(waiting), difficulty.grid, rng)
        density = np.where(_is_inside(place - offset), keep, 0.0)  # of the survivors
        accepted = rng.random(len(waiting)) >= density
        born[waiting[accepted]] = place[accepted]
        waiting = waiting[~accepted]
    return survives, born


def _uniform(num_dots: int, grid: int, rng: np.random.Generator) -> np.ndarray:
    """Draw places, the centres of the cells of a grid: (N, 2)."""
    cells = rng.integers(FRAME_SIZE // grid, size=(num_dots, 2))
    return (cells + 0.5) * grid - 0.5


def _is_inside(position: np.ndarray) -> np.ndarray:
    return np.all((position >= -0.5) & (position < FRAME_SIZE - 0.5), axis=1)
