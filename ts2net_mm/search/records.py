"""What the files of a segment hold, and how much of it counts.

A segment is a folder of tables that only grow. Data is written first and a commit last: its record
has the sizes and checksums of the tables. What no commit covers is ignored.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

__all__ = [
    'COMMIT',
    'COMMITS',
    'DATA',
    'ENCODED',
    'MAY_PASS',
    'REMOVED',
    'SKIPPED',
    'TABLES',
    'VIDEO',
    'WINDOW',
    'DamagedIndexError',
    'Layout',
    'State',
    'VideoEntry',
    'WindowFeatures',
    'count_videos',
    'map_file',
    'read_state',
    'video_key',
]

ENCODED, SKIPPED, REMOVED = range(3)  # kinds of video records
MAY_PASS = -1  # the size that is stored of a file whose failure may pass, so that it is tried again
COMMITS = 'commits'
TABLES = ('videos', 'windows', 'names')  # checked when a segment is opened
DATA = ('means', 'frames')  # checked window by window
VIDEO = np.dtype(
    [
        ('key', '<u8', 2),
        ('time_ns', '<i8'),
        ('size', '<i8'),
        ('mtime_ns', '<i8'),
        ('duration', '<f8'),
        ('first_window', '<u8'),
        ('first_byte', '<u8'),
        ('num_windows', '<u4'),
        ('name_bytes', '<u4'),
        ('note_bytes', '<u4'),
        ('kind', '<u4'),
    ]
)
WINDOW = np.dtype(
    [
        ('start', '<f8'),
        ('end', '<f8'),
        ('radius', '<f4'),
        ('spread', '<f4'),
        ('mean_norm', '<f4'),
        ('num_frames', '<u4'),
        ('video', '<u4'),  # number in the segment
        ('mean_crc', '<u4'),
        ('frames_crc', '<u4'),
    ]
)
# sizes of the tables, the checksums of all their bytes, and that of the record itself
COMMIT = np.dtype([('sizes', '<u8', 3), ('crcs', '<u4', 3), ('crc', '<u4')])


class DamagedIndexError(ValueError):
    """A file of an index does not hold what was written."""


@dataclass(frozen=True)
class Layout:
    """The shape of the frames of an index.

    Args:
        num_frames: Most frames of a window.
        dims: Channels of a frame.
        dtype: How frames are stored, 'float16' or 'float32'.
    """

    num_frames: int
    dims: int
    dtype: str = 'float32'

    @property
    def record(self) -> np.dtype:
        """What is stored of the frames of a window; frames have length 1, valid ones come first."""
        frames = (np.dtype(self.dtype).newbyteorder('<'), (self.num_frames, self.dims))
        each = ('<f4', (self.num_frames,))
        return np.dtype([('frames', *frames), ('norms', *each), ('seconds', *each)])

    def data_sizes(self, num_windows: int) -> tuple[int, int]:
        """Bytes of the means and frames of a number of windows."""
        return num_windows * self.dims * 4, num_windows * self.record.itemsize


@dataclass(frozen=True, eq=False)
class WindowFeatures:
    """The N windows of a video.

    Args:
        starts: Seconds, (N,).
        ends: Seconds, (N,).
        features: Frames as the model returns them, (N, T, D).
        frame_mask: (N, T), True for the frames of the window.
        frame_seconds: (N, T), presentation time of each frame; NaN if unknown.
    """

    starts: np.ndarray
    ends: np.ndarray
    features: np.ndarray
    frame_mask: np.ndarray
    frame_seconds: np.ndarray

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.starts)


@dataclass(frozen=True, eq=False)
class VideoEntry:
    """A video to store: encoded, skipped or removed.

    Args:
        path: Path of the file, which identifies the video.
        size: Bytes of the file.
        mtime_ns: Time of its last change.
        duration: Seconds; NaN if unknown.
        windows: Its features; None if it is skipped or removed.
        note: Why it is skipped.
        removed: Whether the video is removed from the index.
    """

    path: str
    size: int = -1
    mtime_ns: int = 0
    duration: float = float('nan')
    windows: WindowFeatures | None = None
    note: str = ''
    removed: bool = False

    @property
    def kind(self) -> int:
        """The kind of its record."""
        return REMOVED if self.removed else SKIPPED if self.windows is None else ENCODED


def video_key(path: str) -> tuple[int, int]:
    """Hash a path to the 128 bits that identify a video."""
    digest = hashlib.blake2b(os.fsencode(path), digest_size=16).digest()
    return int.from_bytes(digest[:8], 'little'), int.from_bytes(digest[8:], 'little')


class State(NamedTuple):
    """How much of a segment is committed.

    Args:
        num_commits: Number of commits.
        sizes: Bytes of each of ``TABLES``.
        crcs: Checksum of these bytes.
    """

    num_commits: int = 0
    sizes: tuple[int, ...] = (0, 0, 0)
    crcs: tuple[int, ...] = (0, 0, 0)

    @property
    def num_windows(self) -> int:
        """Number of windows."""
        return self.sizes[1] // WINDOW.itemsize

    def to_bytes(self) -> bytes:
        """Return the record of the last commit."""
        record = np.zeros((), COMMIT)
        record['sizes'], record['crcs'] = self.sizes, self.crcs
        record['crc'] = zlib.crc32(record.tobytes()[: -COMMIT['crc'].itemsize])
        return record.tobytes()


def read_state(folder: Path, layout: Layout, begin: State | None = None) -> tuple[State, int]:
    """Find the last commit that holds, and how many do not hold."""
    begin = begin or State()
    content = np.fromfile(folder / COMMITS, np.uint8)
    commits = content[: len(content) // COMMIT.itemsize * COMMIT.itemsize].view(COMMIT)
    if len(commits) <= begin.num_commits:
        return begin, 0
    tables = [map_file(folder / name) for name in TABLES]
    data_sizes = [(folder / name).stat().st_size for name in DATA]

    def follow(state: State, number: int) -> State | None:
        """Return the state after a commit, given that of an earlier commit."""
        commit = commits[number - 1]
        after = State(number, tuple(commit['sizes'].tolist()), tuple(commit['crcs'].tolist()))
        if commit.tobytes() != after.to_bytes():
            return None
        for old, new, crc, found, table in zip(
            state.sizes, after.sizes, state.crcs, after.crcs, tables, strict=True
        ):
            if not old <= new <= len(table) or zlib.crc32(table[old:new].data, crc) != found:
                return None
        needed = layout.data_sizes(after.num_windows)
        holds = all(size <= found for size, found in zip(needed, data_sizes, strict=True))
        return after if holds else None

    if last := follow(begin, len(commits)):
        return last, 0
    state = begin
    while after := follow(state, state.num_commits + 1):
        state = after
    return state, len(commits) - state.num_commits


def count_videos(folder: Path) -> int:
    """Count the records of videos of a segment, from the end of a file: nothing is checked."""
    with (folder / COMMITS).open('rb') as file:
        num_commits = file.seek(0, os.SEEK_END) // COMMIT.itemsize
        if not num_commits:
            return 0
        file.seek((num_commits - 1) * COMMIT.itemsize)
        last = np.frombuffer(file.read(COMMIT.itemsize), COMMIT)[0]
    return int(last['sizes'][0]) // VIDEO.itemsize


def map_file(path: Path, size: int | None = None) -> np.ndarray:
    """Map a file, or its first bytes, into memory."""
    size = path.stat().st_size if size is None else size
    return np.memmap(path, np.uint8, 'r', shape=(size,)) if size else np.empty(0, np.uint8)
