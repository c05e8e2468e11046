"""Records of videos that cannot be read, which travel with the items that stand in for them."""

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from mmengine.structures import BaseDataElement

__all__ = [
    'BadVideo',
    'BadVideosError',
    'OnBadVideo',
    'attach_bad_videos',
    'bad_videos_of',
    'check_on_bad_video',
    'random_state_kept_on_error',
]

OnBadVideo = Literal['replace', 'skip', 'error']
KEY = 'bad_videos'


def check_on_bad_video(on_bad_video: OnBadVideo | None, test_mode: bool) -> OnBadVideo:
    """Return the setting, or its default for training or testing.

    Raises:
        ValueError: If it is unknown or makes no sense there.
    """
    if on_bad_video is None:
        return 'error' if test_mode else 'replace'
    allowed = ('skip', 'error') if test_mode else ('replace', 'error')
    if on_bad_video not in allowed:
        raise ValueError(
            f'on_bad_video={on_bad_video!r} is not for test_mode={test_mode}, '
            f'choose one of {allowed}'
        )
    return on_bad_video


class BadVideosError(RuntimeError):
    """Videos that cannot be read, all of them, in a number that ends the run."""

    @classmethod
    def of(cls, what: str, videos: Iterable['BadVideo'], advice: str) -> 'BadVideosError':
        """Return the error with a line for each video.

        Args:
            what: How many there are, and what that means.
            videos: All of them; one may occur several times.
            advice: What to do about it.
        """
        lines = sorted({f'{video.filename}: {video.reason}' for video in videos})
        return cls('\n  '.join((f'{what}; {advice}', *lines)))


@dataclass(frozen=True)
class BadVideo:
    """A video that could not be read.

    Args:
        video_id: Its name in the annotation.
        filename: Its path.
        reason: Why, in one line.
        num_texts: Captions of the item.
        skip: Whether it is to be left out of a test, instead of ending it.
    """

    video_id: str
    filename: str
    reason: str
    num_texts: int
    skip: bool


def attach_bad_videos(item: Any, videos: Sequence[BadVideo]) -> Any:
    """Write into a processed item which videos it stands in for."""
    records = [asdict(video) for video in videos]
    if isinstance(item, dict):
        sample = item.get('data_samples')
        if isinstance(sample, BaseDataElement):
            sample.set_metainfo({KEY: records})
        else:
            item[KEY] = records
    return item


def bad_videos_of(samples: Any) -> list[BadVideo]:
    """Read these records from a batch of the data loader, a list of samples or a single one."""
    if isinstance(samples, list | tuple):
        return [video for sample in samples for video in bad_videos_of(sample)]
    if isinstance(samples, dict):
        if 'data_samples' in samples:
            return bad_videos_of(samples['data_samples'])
        return [BadVideo(**record) for record in samples.get(KEY, ())]
    if isinstance(samples, BaseDataElement):
        return [BadVideo(**record) for record in samples.get(KEY, ())]
    return []


@contextmanager
def random_state_kept_on_error() -> Iterator[None]:
    """Undo random draws that end in an error, so that what follows does not depend on it."""
    states = np.random.get_state(), random.getstate(), torch.get_rng_state()
    try:
        yield
    except Exception:
        np.random.set_state(states[0])
        random.setstate(states[1])
        torch.set_rng_state(states[2])
        raise
