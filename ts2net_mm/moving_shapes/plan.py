"""Every video of the data set, settled before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .grammar import Meaning, all_captions
from .scene import draw_frames, sample_scene
from .split import HeldOut, split_meanings

SPLITS = ('train', 'val', 'test')

_CAPTIONS_OF_TRAINING_VIDEO = 4


@dataclass(frozen=True)
class Video:
    """One video to render and its entry in the annotation file.

    Args:
        name: File name below the data set's folder.
        meaning: What the video shows.
        captions: Sentences that say it.
        scene_seed: Seed of the scene; it belongs to this video whatever else is rendered.
        reversal: Name of the video that is this one played backwards, if there is one.
        backwards: Whether this video is the reversed one of the two: then ``scene_seed`` gives
            the scene of the other.
    """

    name: str
    meaning: Meaning
    captions: tuple[str, ...]
    scene_seed: np.random.SeedSequence
    reversal: str | None = None
    backwards: bool = False

    def draw(self) -> np.ndarray:
        """Draw the frames, ``(T, H, W, 3)`` uint8 RGB; equal at every call."""
        meaning = self.meaning.reversal if self.backwards else self.meaning
        frames = draw_frames(sample_scene(meaning, _new_rng(self.scene_seed)))
        return frames[::-1] if self.backwards else frames

    @property
    def annotation(self) -> dict:
        """The value of this video in the annotation file."""
        entry = {'captions': list(self.captions), 'meaning': str(self.meaning)}
        return entry if self.reversal is None else entry | {'reversal': self.reversal}


def plan_videos(seed: int, num_train_videos: int) -> dict[str, list[Video]]:
    """Settle all videos of the splits train, val and test.

    Args:
        seed: Source of the split, the captions and the scenes.
        num_train_videos: Videos of the training split, shared evenly by its meanings.
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
    """Plan one video a meaning; the two of a reversal pair are neighbours."""
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
    """Give each video and purpose its own seed, so that no video depends on the others."""
    key = (SPLITS.index(split), number, ('scene', 'captions').index(purpose))
    return np.random.SeedSequence(seed, spawn_key=key)


def _new_rng(seed: np.random.SeedSequence) -> np.random.Generator:
    return np.random.default_rng(seed)
