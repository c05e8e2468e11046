"""Which videos a process encodes, of several that fill one index, and how far they all are."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..utils.progress import VideoProgress
from ..video.video_files import VideoFile
from .records import video_key
from .targets import Target
from .view import StoredVideo

__all__ = ['Progress', 'Share', 'index_path', 'look_up']

LOOK_INTERVAL = 10.0  # seconds between two looks at what other processes did


def index_path(file: VideoFile) -> str:
    """Return the path that identifies a file in an index."""
    return os.path.abspath(file.path)


@dataclass(frozen=True)
class Share:
    """Which videos a process encodes, of several that work on the same list.

    Args:
        rank: Number of the process, from 0.
        num_processes: Number of processes.
    """

    rank: int = 0
    num_processes: int = 1

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Share:
        """Read what torchrun or Slurm tell a process about itself."""
        # srun sets the last; a batch script without srun has a rank and the tasks of its job, too
        for rank, number in (('RANK', 'WORLD_SIZE'), ('SLURM_PROCID', 'SLURM_STEP_NUM_TASKS')):
            if rank in environment and number in environment:
                return cls(int(environment[rank]), int(environment[number]))
        return cls()

    def of(self, files: Iterable[VideoFile]) -> list[VideoFile]:
        """Return the files of this process; a path always goes to the same one."""
        return [
            file
            for file in files
            if video_key(index_path(file))[1] % self.num_processes == self.rank
        ]


def look_up(
    target: Target, files: Sequence[VideoFile]
) -> tuple[list[VideoFile], list[StoredVideo]]:
    """Return the files that an index lacks in their present state, and the videos that it has."""
    store = target.open()
    if store is None:
        return list(files), []
    videos = store.find([index_path(file) for file in files])
    missing, known = [], []
    for file in files:
        video = videos.get(index_path(file))
        if video and (video.size, video.mtime_ns) == (file.size, file.mtime_ns):
            known.append(video)
        else:
            missing.append(file)
    return missing, known


class Progress:
    """Show how many of all videos are in an index, with those of other processes, and when it ends.

    The first process shows it, and looks into the index every ten seconds.

    Args:
        target: The index.
        files: The videos of all processes.
        share: Which process this is.
        enabled: Whether to show anything.
    """

    def __init__(
        self,
        target: Target,
        files: Sequence[VideoFile],
        share: Share,
        *,
        enabled: bool = True,
    ) -> None:
        self._target = target
        self._is_alone = share.num_processes == 1
        is_shown = enabled and share.rank == 0
        missing = look_up(target, files)[0] if is_shown else []
        self._num_before = 0 if self._is_alone else self._count()
        self._bar = VideoProgress(len(missing), enabled=is_shown)
        self._next_look = time.monotonic() + LOOK_INTERVAL

    def __enter__(self) -> Progress:
        self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.__exit__(*error)

    def advance(self, num_videos: int) -> None:
        """Add videos that this process finished."""
        if self._is_alone:
            self._bar.advance(num_videos)
        elif self._bar.total and time.monotonic() >= self._next_look:
            num_done = self._count() - self._num_before
            self._bar.advance(max(0, num_done - self._bar.num_done))  # less after a compaction
            self._next_look = time.monotonic() + LOOK_INTERVAL

    def _count(self) -> int:
        store = self._target.open()
        return 0 if store is None else store.count_records()
