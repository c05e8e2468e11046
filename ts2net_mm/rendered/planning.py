"""What a rendered data set consists of: its videos, in three splits that share no meaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

__all__ = [
    'SPLITS',
    'HeldOut',
    'Meaning',
    'RenderedSet',
    'Scene',
    'Split',
    'Video',
    'split_meanings',
]

SPLITS = ('train', 'val', 'test')

_CAPTIONS_OF_TRAINING_VIDEO = 4


class Meaning(Protocol):
    """What a video shows and its sentences say; hashable, ordered and printable."""

    @property
    def reversal(self) -> Any:
        """The meaning of a video of this meaning played backwards."""

    @property
    def parts(self) -> Mapping[Hashable, int]:
        """What held-out meanings are spread over evenly: the weight of each part's usage."""

    def __lt__(self, other: Any) -> bool: ...


class Scene(Protocol):
    """The content of a video."""

    def draw(self) -> np.ndarray:
        """Draw the frames: (T, H, W, 3), uint8, RGB."""

    @property
    def boxes(self) -> np.ndarray:
        """Pixels of what the sentence is about in each frame: (T, 4), x0, y0, x1, y1."""


@dataclass(frozen=True)
class RenderedSet:
    """A text-video data set that is rendered rather than downloaded.

    Args:
        name: Name of the data set.
        version: Increased whenever the same seed no longer gives the same videos or captions.
        fps: Frames per second.
        all_meanings: Lists what a video can mean.
        all_captions: Lists the sentences with a meaning.
        sample_scene: Samples a scene that shows a meaning. Scenes of a meaning played backwards
            have the distribution of scenes of its reversal.
        held_out: Meanings that are held out for each of validation and test: those in reversal
            pairs, and others.
        settings: Settings that change the videos, by name.
    """

    name: str
    version: int
    fps: int
    all_meanings: Callable[[], list[Any]]
    all_captions: Callable[[Any], list[str]]
    sample_scene: Callable[[Any, np.random.Generator], Scene]
    held_out: tuple[int, int] = (100, 100)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def plan_videos(self, seed: int, num_train_videos: int) -> dict[str, list[Video]]:
        """Plan all videos of the splits train, val and test.

        Args:
            seed: Source of the split, the captions and the scenes.
            num_train_videos: Videos of the training split, divided evenly among its meanings.
        """
        rng = _new_rng(np.random.SeedSequence(seed))
        split = split_meanings(self.all_meanings(), rng, *self.held_out)
        train = [
            self._plan_video(seed, 'train', number, split.train[number % len(split.train)])
            for number in range(num_train_videos)
        ]
        return {
            'train': train,
            'val': self._plan_held_out(seed, 'val', split.val),
            'test': self._plan_held_out(seed, 'test', split.test),
        }

    def _plan_held_out(self, seed: int, split: str, held_out: HeldOut) -> list[Video]:
        """Plan one video per meaning; the two of a reversal pair are neighbours."""
        num_paired = 2 * len(held_out.pairs)
        return [
            self._plan_video(seed, split, number, meaning, paired=number < num_paired)
            for number, meaning in enumerate(held_out.meanings)
        ]

    def _plan_video(
        self, seed: int, split: str, number: int, meaning: Meaning, *, paired: bool = False
    ) -> Video:
        """Plan video ``number``; if ``paired``, each even one is followed by its reversal."""
        backwards = paired and number % 2 == 1
        captions = self.all_captions(meaning)
        num_captions = _CAPTIONS_OF_TRAINING_VIDEO if split == 'train' else 1
        caption_rng = _new_rng(_seed_of(seed, split, number, 'captions'))
        chosen = caption_rng.choice(len(captions), size=num_captions, replace=False)
        return Video(
            name=_name(split, number),
            meaning=meaning,
            captions=tuple(captions[index] for index in chosen),
            sample_scene=self.sample_scene,
            scene_seed=_seed_of(seed, split, number - backwards, 'scene'),
            reversal=_name(split, number ^ 1) if paired else None,
            backwards=backwards,
        )


@dataclass(frozen=True)
class Video:
    """A video to render and its entry in the annotation file.

    Args:
        name: File name below the data set's folder.
        meaning: What the video shows.
        captions: Sentences with this meaning.
        sample_scene: Samples a scene that shows a meaning.
        scene_seed: Seed of the scene; it does not depend on other videos.
        reversal: Name of the same video played backwards, if there is one.
        backwards: Whether this video is the reversed one of the two; ``scene_seed`` is then the
            seed of the other.
    """

    name: str
    meaning: Meaning
    captions: tuple[str, ...]
    sample_scene: Callable[[Any, np.random.Generator], Scene]
    scene_seed: np.random.SeedSequence
    reversal: str | None = None
    backwards: bool = False

    def draw(self) -> np.ndarray:
        """Draw the frames, ``(T, H, W, 3)`` uint8 RGB; the same at every call."""
        return self._in_order(self._scene().draw())

    def locate(self) -> np.ndarray:
        """Locate what the sentence is about in each frame, as `Scene.boxes`."""
        return self._in_order(self._scene().boxes)

    @property
    def annotation(self) -> dict:
        """The value of this video in the annotation file."""
        entry = {'captions': list(self.captions), 'meaning': str(self.meaning)}
        return entry if self.reversal is None else entry | {'reversal': self.reversal}

    def _scene(self) -> Scene:
        shown = self.meaning.reversal if self.backwards else self.meaning
        return self.sample_scene(shown, _new_rng(self.scene_seed))

    def _in_order(self, frames: np.ndarray) -> np.ndarray:
        return frames[::-1] if self.backwards else frames


@dataclass(frozen=True)
class HeldOut:
    """Meanings of an evaluation split.

    Args:
        pairs: Meanings with their time reversals.
        others: The remaining meanings.
    """

    pairs: tuple[tuple[Meaning, Meaning], ...]
    others: tuple[Meaning, ...]

    @property
    def meanings(self) -> list[Meaning]:
        """All meanings of the split, those of the pairs first."""
        return [meaning for pair in self.pairs for meaning in pair] + list(self.others)


@dataclass(frozen=True)
class Split:
    """All meanings of a data set, each in exactly one part.

    Args:
        train: Meanings to learn from.
        val: Meanings for choosing settings.
        test: Meanings for the report.
    """

    train: tuple[Meaning, ...]
    val: HeldOut
    test: HeldOut


def split_meanings(
    meanings: list[Meaning], rng: np.random.Generator, num_paired: int, num_others: int
) -> Split:
    """Divide all meanings at random, evenly over their parts.

    Every part of a meaning therefore stays in training, and the held-out meanings are only new
    combinations of them.

    Args:
        meanings: All meanings.
        rng: Source of all choices.
        num_paired: Meanings in reversal pairs of each held-out split.
        num_others: Other meanings of each held-out split.
    """
    pool = [meanings[index] for index in rng.permutation(len(meanings))]
    test, pool = _hold_out(pool, num_paired, num_others)
    val, pool = _hold_out(pool, num_paired, num_others)
    return Split(train=tuple(pool), val=val, test=test)


def _hold_out(
    pool: list[Meaning], num_paired: int, num_others: int
) -> tuple[HeldOut, list[Meaning]]:
    """Take meanings out of ``pool``, first whole reversal pairs, and return what is left."""
    # A sequence such as (left, right) is its own reversal, so it has no counterpart.
    available = set(pool)
    pairs = [
        (meaning, meaning.reversal)
        for meaning in pool
        if meaning < meaning.reversal and meaning.reversal in available
    ]
    usage: Counter[Hashable] = Counter()
    chosen_pairs = _take_evenly(pairs, num_paired // 2, usage)
    taken = {meaning for pair in chosen_pairs for meaning in pair}
    singles = [(meaning,) for meaning in pool if meaning not in taken]
    others = [single[0] for single in _take_evenly(singles, num_others, usage)]
    taken.update(others)
    held_out = HeldOut(pairs=tuple(chosen_pairs), others=tuple(others))
    return held_out, [meaning for meaning in pool if meaning not in taken]


def _take_evenly(groups: Iterable, count: int, usage: Counter[Hashable]) -> list:
    """Take ``count`` groups, always the first of those whose parts are used least."""

    def cost(meaning: Meaning) -> int:
        return sum(weight * usage[part] for part, weight in meaning.parts.items())

    remaining = list(groups)
    chosen = []
    for _ in range(count):
        best = min(remaining, key=lambda group: sum(map(cost, group)))
        remaining.remove(best)
        chosen.append(best)
        for meaning in best:
            usage.update(meaning.parts.keys())
    return chosen


def _name(split: str, number: int) -> str:
    return f'{split}/{number:06d}.mp4'


def _seed_of(seed: int, split: str, number: int, purpose: str) -> np.random.SeedSequence:
    """Return a seed for each video and purpose, so that no video depends on the others."""
    key = (SPLITS.index(split), number, ('scene', 'captions').index(purpose))
    return np.random.SeedSequence(seed, spawn_key=key)


def _new_rng(seed: np.random.SeedSequence) -> np.random.Generator:
    return np.random.default_rng(seed)
