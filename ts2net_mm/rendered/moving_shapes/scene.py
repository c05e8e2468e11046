"""The geometry of the scene of a video, and its frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .grammar import Meaning

FRAME_SIZE = 96  # pixels
NUM_FRAMES = 24
FPS = 12

RGB = {
    'red': (230, 40, 40),
    'green': (40, 190, 60),
    'blue': (50, 90, 240),
    'yellow': (240, 220, 50),
    'white': (245, 245, 245),
    'purple': (170, 60, 220),
    'orange': (255, 130, 0),
    'cyan': (40, 210, 220),
    'pink': (250, 150, 180),
}
_DIRECTIONS = {'left': (-1, 0), 'right': (1, 0), 'up': (0, -1), 'down': (0, 1)}
_GREY = (15.0, 70.0)
_MARGIN = 1.0  # pixels between the object and the border of the frame
_NOISE = 8.0  # standard deviation, grey levels
_TRIANGLE_SIDES = np.deg2rad([90.0, 210.0, 330.0])  # directions from the centre; one tip is up


@dataclass(frozen=True)
class MovingShape:
    """An object and its path.

    Args:
        colour: Name of the object's colour, or a grey level.
        shape: Name of the object's shape.
        centres: Position of the object in each frame, x and y in pixels.
        radii: Radius of the circle, or of the triangle's circumscribed circle, in each frame.

    Shape:
        centres: (T, 2). radii: (T,).
    """

    colour: str | float
    shape: str
    centres: np.ndarray
    radii: np.ndarray

    @property
    def boxes(self) -> np.ndarray:
        """The pixels that the object may cover: (T, 4) of x0, y0, x1, y1 (exclusive)."""
        lowest = np.ceil(self.centres - self.radii[:, None] - 0.5)
        highest = np.ceil(self.centres + self.radii[:, None] + 0.5)
        return np.concatenate([lowest, highest], axis=1).astype(int)

    def paint(self, frames: np.ndarray) -> None:
        """Paint the object on frames, anti-aliased.

        Shape:
            - frames: (T, H, W, 3), uint8, RGB, changed in place
        """
        distance = _distance_to_circle if self.shape == 'circle' else _distance_to_triangle
        colour = np.array(RGB[self.colour] if isinstance(self.colour, str) else self.colour)
        tracks = zip(frames, self.centres, self.radii, self.boxes, strict=True)
        for frame, (x, y), radius, (x0, y0, x1, y1) in tracks:
            offsets = np.stack(np.meshgrid(np.arange(x0, x1) - x, np.arange(y0, y1) - y), axis=-1)
            coverage = np.clip(0.5 - distance(offsets, radius), 0, 1)[..., None]
            patch = frame[y0:y1, x0:x1]
            patch[:] = np.rint(patch + coverage * (colour - patch))


@dataclass(frozen=True)
class Scene(MovingShape):
    """One object on one background: the content of a video.

    Args:
        background: Grey levels behind the object.

    Shape:
        background: (H, W), uint8.
    """

    background: np.ndarray

    def draw(self) -> np.ndarray:
        """Draw the frames: (T, H, W, 3), uint8, RGB."""
        frames = repeat_background(self.background, len(self.radii))
        self.paint(frames)
        return frames


def sample_scene(meaning: Meaning, rng: np.random.Generator) -> Scene:
    """Sample a scene that shows ``meaning``.

    Scenes of ``meaning`` played backwards have the distribution of scenes of ``meaning.reversal``,
    so the two differ only in the direction of time.

    Args:
        meaning: The meaning of the video.
        rng: Source of all choices.
    """
    centres, radii = sample_track(meaning.events, rng, largest_radius=(12.0, 15.0))
    return Scene(meaning.colour, meaning.shape, centres, radii, sample_background(rng))


def sample_track(
    events: tuple[str, ...],
    rng: np.random.Generator,
    *,
    largest_radius: tuple[float, float],
    distance: tuple[float, float] = (0.55, 0.62),
    growth: tuple[float, float] = (1.9, 2.4),
) -> tuple[np.ndarray, np.ndarray]:
    """Sample centres (T, 2) and radii (T,) of an object that stays inside the frame all the time.

    Args:
        events: What the object does.
        rng: Source of all choices.
        largest_radius: Range of the radius where the object is largest, in pixels.
        distance: Range of what a movement covers, of the frame size.
        growth: Range of the factor by which it grows or shrinks.
    """
    offsets, scales = _sample_path(events, rng, distance, growth)
    radii = scales * rng.uniform(*largest_radius)
    reach = radii[:, None] + _MARGIN
    lowest = (reach - offsets).max(axis=0)
    highest = (FRAME_SIZE - 1 - reach - offsets).min(axis=0)
    return rng.uniform(lowest, highest) + offsets, radii


def sample_background(rng: np.random.Generator) -> np.ndarray:
    """Sample one grey level with noise: (H, W), uint8."""
    noise = rng.normal(0.0, _NOISE, size=(FRAME_SIZE, FRAME_SIZE))
    return np.clip(np.rint(rng.uniform(*_GREY) + noise), 0, 255).astype(np.uint8)


def repeat_background(background: np.ndarray, num_frames: int) -> np.ndarray:
    """Make frames of a background: (H, W) -> (T, H, W, 3)."""
    frame = np.repeat(background[..., None], 3, axis=-1)
    return np.repeat(frame[None], num_frames, axis=0)


def _sample_path(
    events: tuple[str, ...],
    rng: np.random.Generator,
    distance: tuple[float, float],
    growth: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Return each frame's offset (T, 2) from the start and its size (T,), 1 at the largest."""
    steps = []  # of x, y and the logarithm of the size
    for event in events:
        if event in _DIRECTIONS:
            length = FRAME_SIZE * rng.uniform(*distance)
            step_x, step_y = _DIRECTIONS[event]
            steps.append((length * step_x, length * step_y, 0.0))
        else:
            factor = np.log(rng.uniform(*growth))
            steps.append((0.0, 0.0, factor if event == 'grows' else -factor))
    knots = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    knots[:, 2] -= knots[:, 2].max()
    knot_times = np.linspace(0, 1, len(knots))
    frame_times = np.linspace(0, 1, NUM_FRAMES)
    x, y, log_size = (np.interp(frame_times, knot_times, values) for values in knots.T)
    return np.stack([x, y], axis=-1), np.exp(log_size)


def _distance_to_circle(offsets: np.ndarray, radius: float) -> np.ndarray:
    """Distance in pixels to the edge, negative inside: (H, W, 2) -> (H, W)."""
    return np.hypot(offsets[..., 0], offsets[..., 1]) - radius


def _distance_to_triangle(offsets: np.ndarray, radius: float) -> np.ndarray:
    """As ``_distance_to_circle``; slightly too small beyond a tip, which is not visible."""
    normals = np.stack([np.cos(_TRIANGLE_SIDES), np.sin(_TRIANGLE_SIDES)])
    return (offsets @ normals).max(axis=-1) - radius / 2
