"""What happens when a video cannot be read: substitutes, records of bad videos, and errors.

A sampler that has rules for a batch sends `ItemIndex` objects, which name the items that may take
another's place. `BadVideoPolicy` reads an item or a substitute, and attaches a `BadVideo` for each
video that could not be read. ``BadVideosHook`` and the metric read these records from the batches.
"""

import logging
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement

from ..video.errors import (
    DECODING_ERRORS,
    DecoderEndedError,
    UnreadableVideoError,
    unreadable_reason,
)

__all__ = [
    'BadVideo',
    'BadVideoPolicy',
    'BadVideosError',
    'ItemIndex',
    'OnBadVideo',
    'bad_videos_of',
    'draw_substitutes',
]

OnBadVideo = Literal['replace', 'skip', 'error']
KEY = 'bad_videos'
MAX_SUBSTITUTES = 10
SUBSTITUTES_PER_ITEM = 8
DRAWS_PER_ITEM = 12  # more, because some fall into the batch's groups or are drawn twice


@dataclass(frozen=True)
class BadVideo:
    """A video that could not be read.

    Args:
        video_id: Its name in the annotation.
        filename: Its path.
        reason: The reason, in one line.
        num_texts: Captions of the item.
        skip: Whether a test skips it instead of stopping.
    """

    video_id: str
    filename: str
    reason: str
    num_texts: int
    skip: bool


class BadVideosError(RuntimeError):
    """More videos cannot be read than a run accepts; the message lists all of them."""

    @classmethod
    def from_videos(cls, what: str, videos: Iterable[BadVideo], advice: str) -> 'BadVideosError':
        """Return the error with a line for each video.

        Args:
            what: How many there are, and which limit they exceed.
            videos: All of them, possibly with repetition.
            advice: What to do about it.
        """
        lines = sorted({f'{video.filename}: {video.reason}' for video in videos})
        return cls('\n  '.join((f'{what}; {advice}', *lines)))


class ItemIndex(int):
    """The index of an item, with the items that may replace it if its video cannot be read.

    MMEngine's ConcatDataset and RepeatDataset compute the index in the wrapped data set with ``-``
    and ``%``, which apply to the substitutes as well.

    Args:
        index: Index of the item.
        substitutes: Indices of the items that may replace it, in the order in which to try them.
    """

    substitutes: tuple[int, ...]

    def __new__(cls, index: int, substitutes: tuple[int, ...] = ()) -> 'ItemIndex':
        """Create the index; copies and pickles keep the substitutes."""
        item = super().__new__(cls, index)
        item.substitutes = substitutes
        return item

    def __sub__(self, offset: int) -> 'ItemIndex':
        """Subtract the offset of a data set in a ConcatDataset."""
        return ItemIndex(int(self) - offset, tuple(other - offset for other in self.substitutes))

    def __mod__(self, size: int) -> 'ItemIndex':
        """Map an index of a RepeatDataset into the repeated data set."""
        return ItemIndex(int(self) % size, tuple(other % size for other in self.substitutes))


def draw_substitutes(
    groups: np.ndarray, batch: np.ndarray, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    """Draw up to eight substitutes for each item of a batch.

    Their groups are neither in the batch nor the group of another substitute, so any number of them
    may be used together. If there are few groups, there are fewer substitutes or none.

    Args:
        groups: Group number of each item of the data set.
        batch: Items of the global batch.
        rng: Source of the draws.

    Shape:
        - groups: (items,) int64; batch: (B,) int64
    """
    drawn = rng.integers(len(groups), size=DRAWS_PER_ITEM * len(batch))
    drawn = drawn[~np.isin(groups[drawn], groups[batch])]
    first = np.unique(groups[drawn], return_index=True)[1]
    drawn = drawn[np.sort(first)][: SUBSTITUTES_PER_ITEM * len(batch)]
    return [tuple(drawn[place :: len(batch)].tolist()) for place in range(len(batch))]


class BadVideoPolicy:
    """Read the items of a data set, with a substitute or an error where a video cannot be read.

    In training a substitute is another item. In testing it has the pixels of another item under the
    name and the captions of the bad one, and its record tells the metric to skip it or to stop.

    Args:
        on_bad_video: 'replace' or 'error' in training, 'skip' or 'error' in testing; None for the
            default, 'replace' and 'error'.
        test_mode: Whether the data set is for testing.

    Raises:
        ValueError: If the setting does not exist for this mode.
    """

    def __init__(self, on_bad_video: OnBadVideo | None, *, test_mode: bool) -> None:
        allowed: list[OnBadVideo] = ['error', 'skip'] if test_mode else ['replace', 'error']
        if on_bad_video is not None and on_bad_video not in allowed:
            raise ValueError(
                f'on_bad_video={on_bad_video!r} is not for test_mode={test_mode}, '
                f'choose one of {allowed}'
            )
        self.on_bad_video = on_bad_video or allowed[0]
        self.test_mode = test_mode
        self._ended_decoder: dict[str, str] = {}  # reasons, by file name
        self._logged: set[str] = set()

    def read(
        self,
        index: int,
        size: int,
        get_item: Callable[[int], dict],
        process: Callable[[dict], Any],
        *,
        is_watched: bool,
    ) -> Any:
        """Process an item, or a substitute if its video cannot be read.

        Args:
            index: Index of the item.
            size: Number of items.
            get_item: Returns a new copy of an item, by its index.
            process: Runs the pipeline on an item, which it may modify.
            is_watched: Whether a hook collects the records. It then names the videos in the log,
                and stops a test after its last video.

        Raises:
            UnreadableVideoError: If the policy asks for an error, or no substitute can be read.
        """
        try:
            return self._process(get_item(index), process)
        except UnreadableVideoError as error:
            if self.on_bad_video == 'error' and not (self.test_mode and is_watched):
                raise
            result, bad = self._replace(index, size, get_item, process, error)
        if self.on_bad_video == 'replace' and not is_watched:
            self._log(bad)
        return _attach(result, bad)

    def _replace(
        self,
        index: int,
        size: int,
        get_item: Callable[[int], dict],
        process: Callable[[dict], Any],
        error: UnreadableVideoError,
    ) -> tuple[Any, list[BadVideo]]:
        """Process a substitute; return it with the bad videos that it replaces."""
        item = get_item(index)
        bad = [self._record(item, error)]
        for other_index in _substitutes(index, size):
            other = get_item(other_index)
            if other['filename'] in {video.filename for video in bad}:
                continue
            if self.test_mode:
                other |= dict(video_id=item['video_id'], text=item['text'])
            try:
                result = self._process(other, process)
            except UnreadableVideoError as other_error:
                bad.append(self._record(other, other_error))
                if len(bad) > MAX_SUBSTITUTES:
                    break
            else:
                # in a test the other bad videos have items of their own
                return result, bad[:1] if self.test_mode else bad
        if len(bad) > 1:
            tried = '; '.join(f'{video.filename}: {video.reason}' for video in bad[1:])
            raise UnreadableVideoError(f'{error}; nor can its substitutes: {tried}') from error
        if isinstance(index, ItemIndex):
            raise UnreadableVideoError(f'{error}; no other video fits into its batch') from error
        raise error

    def _process(self, item: dict, process: Callable[[dict], Any]) -> Any:
        """Process an item; what a decoder raises becomes an UnreadableVideoError."""
        filename = item['filename']
        if filename in self._ended_decoder:
            raise UnreadableVideoError.from_reason(filename, self._ended_decoder[filename])
        try:
            with _random_state_kept_on_error():
                return process(item)
        except UnreadableVideoError:
            raise
        except DECODING_ERRORS as error:
            reason = unreadable_reason(filename, error)
            if isinstance(error, DecoderEndedError):
                self._ended_decoder[filename] = reason  # so as not to wait for it again
            raise UnreadableVideoError.from_reason(filename, reason) from error

    def _record(self, item: dict, error: UnreadableVideoError) -> BadVideo:
        return BadVideo(
            video_id=item['video_id'],
            filename=item['filename'],
            reason=error.reason,
            num_texts=len(item['text']),
            skip=self.on_bad_video == 'skip',
        )

    def _log(self, bad: Sequence[BadVideo]) -> None:
        """Name each replaced video once."""
        for video in bad:
            if video.filename not in self._logged:
                self._logged.add(video.filename)
                message = f'cannot read video {video.filename}: {video.reason}; replaced'
                print_log(message, logger='current', level=logging.WARNING)


def _substitutes(index: int, size: int) -> list[int]:
    """List the items to try instead: those of the sampler, or an order fixed by the index."""
    if isinstance(index, ItemIndex):
        # in a ConcatDataset, items of the other data sets are out of reach
        return [other for other in index.substitutes if 0 <= other < size]
    return np.random.default_rng((size, index % size)).permutation(size).tolist()


@contextmanager
def _random_state_kept_on_error() -> Iterator[None]:
    """Undo the random draws of a failed attempt, so that later items do not depend on it."""
    states = np.random.get_state(), random.getstate(), torch.get_rng_state()
    try:
        yield
    except Exception:
        np.random.set_state(states[0])
        random.setstate(states[1])
        torch.set_rng_state(states[2])
        raise


def _attach(item: Any, videos: Sequence[BadVideo]) -> Any:
    """Write records into a processed item, packed or not."""
    records = [asdict(video) for video in videos]
    if isinstance(item, dict):
        sample = item.get('data_samples')
        if isinstance(sample, BaseDataElement):
            sample.set_metainfo({KEY: records})
        else:
            item[KEY] = records
    return item


def bad_videos_of(samples: Any) -> list[BadVideo]:
    """Read the records of a batch of the data loader, a list of samples or a single sample."""
    if isinstance(samples, list | tuple):
        return [video for sample in samples for video in bad_videos_of(sample)]
    if isinstance(samples, dict) and 'data_samples' in samples:
        return bad_videos_of(samples['data_samples'])
    if isinstance(samples, dict | BaseDataElement):
        return [BadVideo(**record) for record in samples.get(KEY, ())]
    return []
