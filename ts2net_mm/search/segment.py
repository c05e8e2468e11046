"""Read a segment of an index."""

from __future__ import annotations

import os
import weakref
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .records import (
    COMMIT,
    COMMITS,
    TABLES,
    VIDEO,
    WINDOW,
    DamagedIndexError,
    Layout,
    State,
    map_file,
    read_state,
)

__all__ = ['Segment']


class Segment:
    """What is committed of a segment; it does not change, and threads may share it.

    Means are mapped into memory, because every query reads all of them. Frames are read a window
    at a time, so that they do not fill the memory of the process.

    Args:
        folder: The folder of the segment.
        layout: The shape of its frames.
        previous: An earlier view of the same segment, of which only what follows is read.

    Raises:
        OSError: If a file is missing or cannot be read.

    Attributes:
        videos: Records of the videos, (V,) of ``VIDEO``.
        windows: Records of the windows, (N,) of ``WINDOW``.
        means: Means of the frames, (N, D) float32.
        num_lost: Commits that are damaged, and ignored.
    """

    def __init__(self, folder: Path, layout: Layout, previous: Segment | None = None) -> None:
        self.folder = folder
        self.layout = layout
        begin = previous._state if previous else None
        self._state: State
        self._state, self.num_lost = read_state(folder, layout, begin)
        sizes = dict(zip(TABLES, self._state.sizes, strict=True))
        self.videos = map_file(folder / 'videos', sizes['videos']).view(VIDEO)
        self.windows = map_file(folder / 'windows', sizes['windows']).view(WINDOW)
        self._names = map_file(folder / 'names', sizes['names'])
        size, _ = layout.data_sizes(len(self))
        self.means = map_file(folder / 'means', size).view('<f4').reshape(len(self), layout.dims)
        self._frames: _File = previous._frames if previous else _File(folder / 'frames')

    def __len__(self) -> int:
        """Number of windows."""
        return self._state.num_windows

    def has_more(self) -> bool:
        """Tell whether something was committed since.

        Raises:
            OSError: If the segment is gone.
        """
        num_commits = (self.folder / COMMITS).stat().st_size // COMMIT.itemsize
        return num_commits > self._state.num_commits + self.num_lost

    def path_of(self, video: int) -> str:
        """Return the path of a video by its number in the segment."""
        first = int(self.videos[video]['first_byte'])
        return os.fsdecode(bytes(self._names[first : first + self.videos[video]['name_bytes']]))

    def note_of(self, video: int) -> str:
        """Return the note of a video by its number in the segment."""
        record = self.videos[video]
        first = int(record['first_byte']) + int(record['name_bytes'])
        return bytes(self._names[first : first + record['note_bytes']]).decode()

    def read_frames(self, windows: Iterable[int]) -> np.ndarray:
        """Read the frames of windows: records of ``layout.record``.

        Raises:
            DamagedIndexError: If their checksum is wrong.
        """
        record, numbers, parts = self.layout.record, list(windows), []
        crcs = self.windows['frames_crc'][numbers].tolist()
        for window, crc in zip(numbers, crcs, strict=True):
            part = self._frames.read(window * record.itemsize, record.itemsize)
            if len(part) < record.itemsize or zlib.crc32(part) != crc:
                raise self._damage('frames', window)
            parts.append(part)
        return np.frombuffer(b''.join(parts), record)

    def check_means(self, rows: slice) -> np.ndarray:
        """Return the means of consecutive windows.

        Raises:
            DamagedIndexError: If their checksum is wrong.
        """
        expected = self.windows['mean_crc'][rows]
        for offset, (mean, crc) in enumerate(zip(self.means[rows], expected, strict=True)):
            if zlib.crc32(mean) != crc:
                raise self._damage('means', rows.start + offset)
        return self.means[rows]

    def damaged_videos(self) -> list[int]:
        """Check all means and frames, and return the numbers of the damaged videos."""
        found = set()
        for number, video in enumerate(self.windows['video']):
            try:
                self.check_means(slice(number, number + 1))
                self.read_frames([number])
            except DamagedIndexError:
                found.add(int(video))
        return sorted(found)

    def _damage(self, what: str, window: int) -> DamagedIndexError:
        path = self.path_of(int(self.windows['video'][window]))
        return DamagedIndexError(
            f'{self.folder / what} is damaged: the {what} of {path} are not what was written'
        )


class _File:
    """A file that is read at given places, by any number of threads."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, offset: int, size: int) -> bytes:
        """Read bytes; fewer at the end of the file."""
        return os.pread(self._descriptor, size, offset)
