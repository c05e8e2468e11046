"""What an index holds at some moment, through all its segments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .bound import Summary
from .packing import PackedVideo
from .records import ENCODED, REMOVED, SKIPPED, VIDEO, WINDOW, DamagedIndexError, video_key
from .segment import Segment

__all__ = ['StoredVideo', 'View']

WINDOWS_AT_A_TIME = 65_536  # 134 MB of means of 512 channels


@dataclass(frozen=True)
class StoredVideo:
    """A video of an index.

    Args:
        path: Path of the file.
        size: Bytes of the file when it was encoded.
        mtime_ns: Time of its last change then.
        duration: Seconds; NaN if unknown.
        num_windows: Number of windows.
        note: Why it was skipped; None if it was encoded.
        number: Its number in the view; -1 in Milvus, where rows have none.
    """

    path: str
    size: int
    mtime_ns: int
    duration: float
    num_windows: int
    note: str | None = None
    number: int = -1


class View:
    """What an index holds at some moment; it does not change, and threads may share it.

    Windows and videos are numbered through all segments. Those that were replaced or removed keep
    their numbers until the index is compacted; ``is_live`` is False for them.

    Args:
        segments: The segments of the index.

    Attributes:
        segments: The segments.
        num_frames: Most frames of a window; 0 if there is no segment.
        videos: Records of all videos, (V,) of ``VIDEO``.
        is_latest: Whether a record is the latest of its path, (V,) bool.
        is_encoded: Whether a video may be found, (V,) bool.
        starts: Start of each window, seconds, (N,).
        ends: End of each window, seconds, (N,).
        summary: What is known of each window without its frames.
        video_of_window: Number of each window's video, (N,).
        is_live: Whether a window may be found, (N,) bool.
        num_videos: Videos that may be found.
        num_windows: Windows that may be found.
    """

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.segments = list(segments)
        self.num_frames = segments[0].layout.num_frames if segments else 0
        self._first_window = _offsets(len(segment) for segment in segments)
        self._first_video = _offsets(len(segment.videos) for segment in segments)
        self.videos = _join([segment.videos for segment in segments], VIDEO)
        columns = {
            name: _join([segment.windows[name] for segment in segments], WINDOW[name])
            for name in ('start', 'end', 'radius', 'spread', 'mean_norm', 'num_frames')
        }
        self.starts, self.ends = columns.pop('start'), columns.pop('end')
        self.summary = Summary(**columns)
        self.video_of_window = _join(
            [
                segment.windows['video'] + np.int64(first)
                for segment, first in zip(segments, self._first_video, strict=False)
            ],
            np.dtype(np.int64),
        )
        keys = np.ascontiguousarray(self.videos['key'][:, 0])
        self._order = np.argsort(keys)
        self._sorted_keys = keys[self._order]
        self.is_latest = self._find_latest()
        self.is_encoded = self.is_latest & (self.videos['kind'] == ENCODED)
        self.is_live = self.is_encoded[self.video_of_window]
        self.num_videos = int(self.is_encoded.sum())
        self.num_windows = int(self.is_live.sum())

    def __len__(self) -> int:
        """Number of windows, with those that were replaced or removed."""
        return int(self._first_window[-1])

    def video(self, number: int) -> StoredVideo:
        """Describe a video by its number."""
        segment, inner = self._locate(self._first_video, number)
        record = self.videos[number]
        return StoredVideo(
            number=number,
            path=segment.path_of(inner),
            size=int(record['size']),
            mtime_ns=int(record['mtime_ns']),
            duration=float(record['duration']),
            num_windows=int(record['num_windows']),
            note=segment.note_of(inner) if record['kind'] == SKIPPED else None,
        )

    def find(self, path: str) -> StoredVideo | None:
        """Return the latest record of a path, encoded or skipped."""
        return self.find_key(video_key(path))

    def find_key(self, key: tuple[int, int]) -> StoredVideo | None:
        """Return the latest record of a path by the hash of the path, encoded or skipped."""
        first = np.searchsorted(self._sorted_keys, np.uint64(key[0]), 'left')
        last = np.searchsorted(self._sorted_keys, np.uint64(key[0]), 'right')
        for number in self._order[first:last]:
            is_same = int(self.videos['key'][number, 1]) == key[1]
            if is_same and self.is_latest[number] and self.videos['kind'][number] != REMOVED:
                return self.video(int(number))
        return None

    def windows_of(self, number: int) -> range:
        """Return the numbers of the windows of a video."""
        segment = int(np.searchsorted(self._first_video, number, 'right')) - 1
        first = int(self._first_window[segment]) + int(self.videos['first_window'][number])
        return range(first, first + int(self.videos['num_windows'][number]))

    def encoded_videos(self) -> Iterator[StoredVideo]:
        """Yield the videos that may be found."""
        for number in np.flatnonzero(self.is_encoded):
            yield self.video(int(number))

    def skipped_videos(self) -> Iterator[StoredVideo]:
        """Yield the videos that could not be encoded, with the reason as their note."""
        for number in np.flatnonzero(self.is_latest & (self.videos['kind'] == SKIPPED)):
            yield self.video(int(number))

    def products(self, queries: np.ndarray) -> np.ndarray:
        """Multiply queries and the means of all windows: (Q, D) float32 -> (Q, N).

        Raises:
            DamagedIndexError: If a product is not finite.
        """
        result = np.empty((len(queries), len(self)), np.float32)
        for segment, offset in zip(self.segments, self._first_window, strict=False):
            for first in range(0, len(segment), WINDOWS_AT_A_TIME):
                means = segment.means[first : first + WINDOWS_AT_A_TIME]
                place = slice(offset + first, offset + first + len(means))
                np.matmul(queries, means.T, out=result[:, place])
        if not np.isfinite(result).all():
            window = int(np.argwhere(~np.isfinite(result))[0, 1])
            path = self.video(int(self.video_of_window[window])).path
            raise DamagedIndexError(f'the index is damaged: a mean of {path} is not finite')
        return result

    def mean(self, window: int) -> np.ndarray:
        """Return the mean of the frames of a window: (D,)."""
        segment, inner = self._locate(self._first_window, window)
        return segment.means[inner]

    def read_frames(self, windows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read the frames of windows: (len(windows),) of ``layout.record``.

        Raises:
            DamagedIndexError: If a checksum is wrong.
        """
        numbers = np.asarray(windows, dtype=np.int64)
        places = np.searchsorted(self._first_window, numbers, 'right') - 1
        if len(numbers) and places.min() == places.max():
            place = places[0]
            return self.segments[place].read_frames((numbers - self._first_window[place]).tolist())
        records = np.empty(len(numbers), self.segments[0].layout.record)
        for place in np.unique(places):
            rows = places == place
            inner = (numbers[rows] - self._first_window[place]).tolist()
            records[rows] = self.segments[place].read_frames(inner)
        return records

    def read_video(self, number: int) -> PackedVideo:
        """Read all that is stored of a video.

        Raises:
            DamagedIndexError: If a checksum is wrong.
        """
        segment, inner = self._locate(self._first_video, number)
        record = segment.videos[inner]
        first = int(record['first_window'])
        rows = slice(first, first + int(record['num_windows']))
        return PackedVideo(
            path=segment.path_of(inner),
            size=int(record['size']),
            mtime_ns=int(record['mtime_ns']),
            duration=float(record['duration']),
            kind=int(record['kind']),
            note=segment.note_of(inner),
            table=segment.windows[rows],
            means=segment.check_means(rows),
            frames=self.read_frames(self.windows_of(number)),
        )

    def _locate(self, offsets: np.ndarray, number: int) -> tuple[Segment, int]:
        place = int(np.searchsorted(offsets, number, 'right')) - 1
        return self.segments[place], int(number - offsets[place])

    def _find_latest(self) -> np.ndarray:
        """Find the latest record of each path: (V,) bool."""
        is_latest = np.ones(len(self.videos), bool)
        is_repeated = np.zeros(len(self.videos), bool)
        is_repeated[:-1] = self._sorted_keys[1:] == self._sorted_keys[:-1]
        is_repeated[1:] |= is_repeated[:-1].copy()
        repeated = np.sort(self._order[is_repeated])
        records = self.videos[repeated]
        order = np.lexsort((records['time_ns'], records['key'][:, 1], records['key'][:, 0]))
        keys = records['key'][order]
        is_followed = np.zeros(len(order), bool)
        is_followed[:-1] = (keys[1:] == keys[:-1]).all(axis=1)
        is_latest[repeated[order[is_followed]]] = False
        return is_latest


def _offsets(lengths: Iterable[int]) -> np.ndarray:
    """Number of the first item of each segment, and the number of all: (S + 1,)."""
    return np.cumsum([0, *lengths], dtype=np.int64)


def _join(parts: list[np.ndarray], dtype: np.dtype) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype), *parts])
