"""The videos of the data set: what each shows, the geometry of its scene, and its frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .grammar import SPLITS, HeldOut, Meaning, all_captions, split_meanings

FRAME_SIZE = 96  # pixels
NUM_FRAMES = 24
FPS = 12

_CAPTIONS_OF_TRAINING_VIDEO = 4

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
    """One object on one background: the content of a video.

    Args:
        colour: Name of the object's colour.
        shape: Name of the object's shape.
        centres: Position of the object in each frame, x and y in pixels.
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
    """Sample a scene that shows ``meaning``.

    The object stays inside the frame. Scenes of ``meaning`` played backwards have the distribution
    of scenes of ``meaning.reversal``, so the two differ only in the direction of time.

    Args:
        meaning: The meaning of the video.
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
    """Draw the anti-aliased frames of ``scene``.

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
    """Return each frame's offset (T, 2) from the start and its size (T,), 1 at the largest."""
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
    """Return the pixels of one axis that the object covers at least in part."""
    return np.arange(np.ceil(centre - radius - 0.5), centre + radius + 0.5).astype(int)


def _distance_to_circle(offsets: np.ndarray, radius: float) -> np.ndarray:
    """Distance in pixels to the edge, negative inside: (H, W, 2) -> (H, W)."""
    return np.hypot(offsets[..., 0], offsets[..., 1]) - radius


def _distance_to_triangle(offsets: np.ndarray, radius: float) -> np.ndarray:
    """As ``_distance_to_circle``; slightly too small beyond a tip, which is not visible."""
    normals = np.stack([np.cos(_TRIANGLE_SIDES), np.sin(_TRIANGLE_SIDES)])
    return (offsets @ normals).max(axis=-1) - radius / 2


@dataclass(frozen=True)
class Video:
    """A video to render and its entry in the annotation file.

    Args:
        name: File name below the data set's folder.
        meaning: What the video shows.
        captions: Sentences with this meaning.
        scene_seed: Seed of the scene; it does not depend on other videos.
        reversal: Name of the same video played backwards, if there is one.
        backwards: Whether this video is the reversed one of the two; ``scene_seed`` is then the
            seed of the other.
    """

    name: str
    meaning: Meaning
    captions: tuple[str, ...]
    scene_seed: np.random.SeedSequence
    reversal: str | None = None
    backwards: bool = False

    def draw(self) -> np.ndarray:
        """Draw the frames, ``(T, H, W, 3)`` uint8 RGB; the same at every call."""
        meaning = self.meaning.reversal if self.backwards else self.meaning
        frames = draw_frames(sample_scene(meaning, _new_rng(self.scene_seed)))
        return frames[::-1] if self.backwards else frames

    @property
    def annotation(self) -> dict:
        """The value of this video in the annotation file."""
        entry = {'captions': list(self.captions), 'meaning': str(self.meaning)}
        return entry if self.reversal is None else entry | {'reversal': self.reversal}


def plan_videos(seed: int, num_train_videos: int) -> dict[str, list[Video]]:
    """Plan all videos of the splits train, val and test.

    Args:
        seed: Source of the split, the captions and the scenes.
        num_train_videos: Videos of the training split, divided evenly among its meanings.
    """
    split = split_meanings(_new_rng(np.random.SeedSequence(seed)))
    train = [
        _plan_video(seed, 'train', number, split.train[number % len(split.train)])
        for number in range(num_train_videos)
    ]
    return {
        'train': train,
        'val': _plan_held_out(seed, 'val', split.val),
        'test': _plan_held_out(seed, 'test', split.test),
    }


def _plan_held_out(seed: int, split: str, held_out: HeldOut) -> list[Video]:
    """Plan one video per meaning; the two of a reversal pair are neighbours."""
    num_paired = 2 * len(held_out.pairs)
    return [
        _plan_video(seed, split, number, meaning, paired=number < num_paired)
        for number, meaning in enumerate(held_out.meanings)
    ]


def _plan_video(
    seed: int, split: str, number: int, meaning: Meaning, *, paired: bool = False
) -> Video:
    """Plan video ``number``; if ``paired``, each even one is followed by its reversal."""
    backwards = paired and number % 2 == 1
    captions = all_captions(meaning)
    num_captions = _CAPTIONS_OF_TRAINING_VIDEO if split == 'train' else 1
    caption_rng = _new_rng(_seed_of(seed, split, number, 'captions'))
    chosen = caption_rng.choice(len(captions), size=num_captions, replace=False)
    return Video(
        name=_name(split, number),
        meaning=meaning,
        captions=tuple(captions[index] for index in chosen),
        scene_seed=_seed_of(seed, split, number - backwards, 'scene'),
        reversal=_name(split, number ^ 1) if paired else None,
        backwards=backwards,
    )


def _name(split: str, number: int) -> str:
    return f'{split}/{number:06d}.mp4'


def _seed_of(seed: int, split: str, number: int, purpose: str) -> np.random.SeedSequence:
    """Return a seed for each video and purpose, so that no video depends on the others."""
    key = (SPLITS.index(split), number, ('scene', 'captions').index(purpose))
    return np.random.SeedSequence(seed, spawn_key=key)


def _new_rng(seed: np.random.SeedSequence) -> np.random.Generator:
    return np.random.default_rng(seed)
