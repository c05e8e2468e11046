"""Append to a segment of an index."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from .packing import WINDOWS_AT_A_TIME, PackedVideo, pack
from .records import (
    COMMIT,
    COMMITS,
    DATA,
    TABLES,
    VIDEO,
    DamagedIndexError,
    Layout,
    State,
    VideoEntry,
    read_state,
    video_key,
)
from .segment import Segment

__all__ = ['SegmentWriter']

FILES = (*TABLES, *DATA, COMMITS)  # commits last: they make a folder a segment
LOCK = 'writer.lock'


class SegmentWriter:
    """Appends to a segment, which only one process may do at a time.

    Opening a segment removes what no commit covers.

    Args:
        folder: The folder of the segment, which exists.
        layout: The shape of its frames.

    Raises:
        filelock.Timeout: If another process writes it.
        DamagedIndexError: If a commit is damaged, so that nothing may follow.
        OSError: If a file cannot be written.
    """

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.folder = folder
        self.layout = layout
        self._lock = FileLock(folder / LOCK)
        self._lock.acquire(timeout=0)
        self._files: dict[str, FileIO] = {}
        try:
            for name in FILES:
                (folder / name).touch()
            self._state, num_lost = read_state(folder, layout)
            if num_lost:
                raise DamagedIndexError(f'{num_lost} commits of {folder} are damaged')
            self._files = {name: FileIO(folder / name, 'r+') for name in FILES}
            self._truncate()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the files and let others write the segment."""
        for file in self._files.values():
            file.close()
        self._files = {}
        self._lock.release()

    def append(self, entries: Sequence[VideoEntry | PackedVideo], times_ns: Sequence[int]) -> None:
        """Add videos, all or none; they are on the disk when this returns.

        Args:
            entries: The videos.
            times_ns: When each was encoded, which decides between two versions of a video.

        Raises:
            ValueError: If features are not finite, or of another shape than the index.
            OSError: If they cannot be written, as on a full disk; nothing is added then.
        """
        batch = _Batch(self._state)
        for entry, time_ns in zip(entries, times_ns, strict=True):
            packed = entry if isinstance(entry, PackedVideo) else pack(entry, self.layout)
            video = np.zeros((), VIDEO)
            video['key'], video['time_ns'] = video_key(packed.path), time_ns
            for field in ('size', 'mtime_ns', 'duration', 'kind'):
                video[field] = getattr(packed, field)
            batch.add_video(video, os.fsencode(packed.path), packed.note.encode())
            if len(packed.table):
                batch.add_windows(packed.table, packed.means, packed.frames)
        self._write(batch)

    def copy(self, segment: Segment, videos: Sequence[int]) -> None:
        """Add videos of another segment, unchanged; all or none.

        Args:
            segment: The segment, of the same layout.
            videos: Their numbers in it.

        Raises:
            DamagedIndexError: If a video is damaged.
            OSError: If they cannot be written.
        """
        batch = _Batch(self._state)
        for number in videos:
            video = segment.videos[number]
            name, note = os.fsencode(segment.path_of(number)), segment.note_of(number).encode()
            batch.add_video(video, name, note)
            first, count = int(video['first_window']), int(video['num_windows'])
            for start in range(first, first + count, WINDOWS_AT_A_TIME):
                rows = slice(start, min(start + WINDOWS_AT_A_TIME, first + count))
                frames = segment.read_frames(range(rows.start, rows.stop))
                batch.add_windows(segment.windows[rows], segment.check_means(rows), frames)
        self._write(batch)

    def _write(self, batch: _Batch) -> None:
        sizes, crcs = [], []
        for name, size, crc in zip(TABLES, self._state.sizes, self._state.crcs, strict=True):
            sizes.append(size + len(batch.content[name]))
            crcs.append(zlib.crc32(batch.content[name], crc))
        after = State(self._state.num_commits + 1, tuple(sizes), tuple(crcs))
        try:
            for name, content in batch.content.items():
                self._append(name, content)
            self._append(COMMITS, after.to_bytes())
        except BaseException:
            if self._files[COMMITS].tell() < after.num_commits * COMMIT.itemsize:
                self._truncate()
            else:  # readers may have seen it
                self._state = after
            raise
        self._state = after

    def _append(self, name: str, content: bytes | bytearray) -> None:
        if not content:
            return
        rest = memoryview(content)
        while rest:
            rest = rest[self._files[name].write(rest) :]
        os.fsync(self._files[name].fileno())

    def _truncate(self) -> None:
        """Cut the files to what is committed, and continue there."""
        sizes = dict(zip(TABLES, self._state.sizes, strict=True))
        sizes |= dict(zip(DATA, self.layout.data_sizes(self._state.num_windows), strict=True))
        sizes[COMMITS] = self._state.num_commits * COMMIT.itemsize
        for name, size in sizes.items():
            self._files[name].truncate(size)
            self._files[name].seek(size)


class _Batch:
    """What a commit adds to each file."""

    def __init__(self, state: State) -> None:
        self.content = {name: bytearray() for name in (*TABLES, *DATA)}
        self._num_videos = state.sizes[0] // VIDEO.itemsize
        self._num_windows = state.num_windows
        self._num_bytes = state.sizes[2]

    def add_video(self, video: np.ndarray, name: bytes, note: bytes) -> None:
        """Add the record of a video; its windows follow."""
        video = video.copy()
        video['first_window'], video['num_windows'] = self._num_windows, 0
        video['first_byte'] = self._num_bytes
        video['name_bytes'], video['note_bytes'] = len(name), len(note)
        self.content['videos'] += video.tobytes()
        self.content['names'] += name + note
        self._num_videos += 1
        self._num_bytes += len(name) + len(note)

    def add_windows(self, windows: np.ndarray, means: np.ndarray, frames: np.ndarray) -> None:
        """Add windows of the last video."""
        windows = windows.copy()
        windows['video'] = self._num_videos - 1
        self._num_windows += len(windows)
        last: Any = np.frombuffer(self.content['videos'], VIDEO)[-1:]
        last['num_windows'] += len(windows)
        del last  # a bytearray cannot grow while it is viewed
        self.content['windows'] += windows.tobytes()
        self.content['means'] += means.tobytes()
        self.content['frames'] += frames.tobytes()
