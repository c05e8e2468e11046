"""What a program that shows the videos of an index asks of it, wherever the index is stored."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

import numpy as np

from .filters import VideoFilter
from .index import VideoIndex
from .results import SearchResult
from .view import StoredVideo

__all__ = ['FolderView', 'IndexView']


class IndexView(Protocol):
    """The videos of an index: in a folder as they were at one moment, in Milvus as they are."""

    def count(self) -> tuple[int, int]:
        """Count the videos and the windows that may be found."""
        ...

    def search(
        self, queries: np.ndarray, *, topk: int = 10, filters: VideoFilter | None = None
    ) -> list[SearchResult]:
        """Find the best videos for each query: (Q, D) -> Q results."""
        ...

    def find_key(self, key: tuple[int, int]) -> StoredVideo | None:
        """Return a video by the hash of its path, encoded or skipped."""
        ...

    def encoded_paths(self) -> Iterable[str]:
        """Return the paths of the videos that may be found."""
        ...

    def window_mean(self, video: StoredVideo, seconds: float) -> np.ndarray:
        """Return the mean of the frames of a video's window that begins closest to a time: (D,)."""
        ...

    def frames_of(self, video: StoredVideo, max_windows: int) -> tuple[np.ndarray, np.ndarray]:
        """Read the frames of a video's windows; if there are more, of every second, third, ...

        Returns:
            - Records of ``layout.record``: (N,).
            - Number of frames of each: (N,).
        """
        ...


class FolderView:
    """The videos of an index in a folder, as they are now.

    Args:
        index: The index.
    """

    def __init__(self, index: VideoIndex) -> None:
        self._index = index
        self._view = index.store.view()

    def count(self) -> tuple[int, int]:
        """Count the videos and the windows that may be found."""
        return self._view.num_videos, self._view.num_windows

    def search(
        self, queries: np.ndarray, *, topk: int = 10, filters: VideoFilter | None = None
    ) -> list[SearchResult]:
        """Find the best videos for each query; see `VideoIndex.search`."""
        return self._index.search(queries, topk=topk, filters=filters, view=self._view)

    def find_key(self, key: tuple[int, int]) -> StoredVideo | None:
        """Return a video by the hash of its path, encoded or skipped."""
        return self._view.find_key(key)

    def encoded_paths(self) -> Iterable[str]:
        """Return the paths of the videos that may be found."""
        return (video.path for video in self._view.encoded_videos())

    def window_mean(self, video: StoredVideo, seconds: float) -> np.ndarray:
        """Return the mean of the frames of a video's window that begins closest to a time: (D,)."""
        windows = np.array(self._view.windows_of(video.number))
        return self._view.mean(
            int(windows[np.argmin(np.abs(self._view.starts[windows] - seconds))])
        )

    def frames_of(self, video: StoredVideo, max_windows: int) -> tuple[np.ndarray, np.ndarray]:
        """Read the frames of a video's windows; see `IndexView.frames_of`.

        Raises:
            DamagedIndexError: If a checksum is wrong.
        """
        windows = np.array(self._view.windows_of(video.number))
        windows = windows[:: math.ceil(len(windows) / max_windows)]
        return self._view.read_frames(windows), self._view.summary.num_frames[windows]
