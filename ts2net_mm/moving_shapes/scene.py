"""Geometry of one moving-shapes video and the drawing of its frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .grammar import Meaning

FRAME_SIZE = 96  # pixels
NUM_FRAMES = 24
FPS = 12

_RGB = {
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
_DISTANCE = (0.55, 0.62)  # of the frame size
_GROWTH = (1.9, 2.4)  # largest radius / smallest radius
_LARGEST_RADIUS = (12.0, 15.0)  # pixels, of the object at its largest
_MARGIN = 1.0  # pixels between the object and the border of the frame
_GREY = (15.0, 70.0)
_NOISE = 8.0  # standard deviation, grey levels
_TRIANGLE_SIDES = np.deg2rad([90.0, 210.0, 330.0])  # directions from the centre; one tip is up


@dataclass(frozen=True)
class Scene:
    """One object on one background: all that is needed to draw a video.

    Args:
        colour: Name of the object's colour.
        shape: Name of the object's shape.
        centres: Place of the object in each frame, x and y in pixels.
        radii: Radius of the circle, or of the triangle's circumscribed circle, in each frame.
        background: Grey levels behind the object.

    Shape:
        centres: (T, 2). radii: (T,). background: (H, W), uint8.
    """

    colour: str
    shape: str
    centres: np.ndarray
    radii: np.ndarray
    background: np.ndarray


def sample_scene(meaning: Meaning, rng: np.random.Generator) -> Scene:
    """Draw at random a scene that shows ``meaning``.

    The object stays inside the frame all the time. Scenes of ``meaning`` played backwards have
    the distribution of scenes of ``meaning.reversal``, so only time tells the two apart.

    Args:
        meaning: What the video shall show.
        rng: Source of all choices.
    """
    offsets, scales = _sample_path(meaning.events, rng)
    radii = scales * rng.uniform(*_LARGEST_RADIUS)
    reach = radii[:, None] + _MARGIN
    lowest = (reach - offsets).max(axis=0)
    highest = (FRAME_SIZE - 1 - reach - offsets).min(axis=0)
    centres = rng.uniform(lowest, highest) + offsets
    noise = rng.normal(0.0, _NOISE, size=(FRAME_SIZE, FRAME_SIZE))
    background = np.clip(np.rint(rng.uniform(*_GREY) + noise), 0, 255).astype(np.uint8)
    return Scene(meaning.colour, meaning.shape, centres, radii, background)


def draw_frames(scene: Scene) -> np.ndarray:
    """Draw the frames of ``scene``, anti-aliased.

    Shape:
        output: (T, H, W, 3), uint8, RGB.
    """
    background = np.repeat(scene.background[..., None], 3, axis=-1)
    frames = np.repeat(background[None], len(scene.radii), axis=0)
    distance = _distance_to_circle if scene.shape == 'circle' else _distance_to_triangle
    for frame, (x, y), radius in zip(frames, scene.centres, scene.radii, strict=True):
        columns, rows = _touched_pixels(x, radius), _touched_pixels(y, radius)
        offsets = np.stack(np.meshgrid(columns - x, rows - y), axis=-1)
        coverage = np.clip(0.5 - distance(offsets, radius), 0, 1)[..., None]
        patch = frame[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        patch[:] = np.rint(patch + coverage * (np.array(_RGB[scene.colour]) - patch))
    return frames


def _sample_path(
    events: tuple[str, ...], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Give each frame's offset (T, 2) from the start and its size (T,), 1 at the largest."""
    steps = []  # of x, y and the logarithm of the size
    for event in events:
        if event in _DIRECTIONS:
            distance = FRAME_SIZE * rng.uniform(*_DISTANCE)
            step_x, step_y = _DIRECTIONS[event]
            steps.append((distance * step_x, distance * step_y, 0.0))
        else:
            growth = np.log(rng.uniform(*_GROWTH))
            steps.append((0.0, 0.0, growth if event == 'grows' else -growth))
    knots = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    knots[:, 2] -= knots[:, 2].max()
    knot_times = np.linspace(0, 1, len(knots))
    frame_times = np.linspace(0, 1, NUM_FRAMES)
    x, y, log_size = (np.interp(frame_times, knot_times, values) for values in knots.T)
    return np.stack([x, y], axis=-1), np.exp(log_size)


def _touched_pixels(centre: float, radius: float) -> np.ndarray:
    """Pixels of one axis that the object covers at least in part."""
    return np.arange(np.ceil(centre - radius - 0.5), centre + radius + 0.5).astype(int)


def _distance_to_circle(offsets: np.ndarray, radius: float) -> np.ndarray:
    """Distance in pixels to the edge, negative inside: (H, W, 2) -> (H, W)."""
    return np.hypot(offsets[..., 0], offsets[..., 1]) - radius


def _distance_to_triangle(offsets: np.ndarray, radius: float) -> np.ndarray:
    """As ``_distance_to_circle``; beyond a tip a little too small, which does not show."""
    normals = np.stack([np.cos(_TRIANGLE_SIDES), np.sin(_TRIANGLE_SIDES)])
    return (offsets @ normals).max(axis=-1) - radius / 2
