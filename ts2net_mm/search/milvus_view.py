"""What a program that shows the videos of an index asks of Milvus."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable

import numpy as np

from .filters import VideoFilter
from .milvus_index import MilvusIndex
from .milvus_rows import text_key, window_keys
from .records import DamagedIndexError
from .results import SearchResult
from .view import StoredVideo

__all__ = ['MilvusView']


class MilvusView:
    """The videos of an index in Milvus, as they are whenever they are asked for; an `IndexView`.

    Args:
        index: The index.
    """

    def __init__(self, index: MilvusIndex) -> None:
        self._index = index

    def count(self) -> tuple[int, int]:
        """Count the videos and the windows that may be found."""
        return self._index.count()

    def search(
        self, queries: np.ndarray, *, topk: int = 10, filters: VideoFilter | None = None
    ) -> list[SearchResult]:
        """Find the best videos for each query; see `MilvusIndex.search`."""
        return self._index.search(queries, topk=topk, filters=filters)

    def find_key(self, key: tuple[int, int]) -> StoredVideo | None:
        """Return a video by the hash of its path, encoded or skipped."""
        return self._index.store.videos.find_key(key)

    def encoded_paths(self) -> Iterable[str]:
        """Return the paths of the videos that may be found."""
        return self._index.store.videos.encoded_paths()

    def window_mean(self, video: StoredVideo, seconds: float) -> np.ndarray:
        """Return the mean of the frames of a video's window that begins closest to a time: (D,).

        Raises:
            DamagedIndexError: If there is no window, because the video was removed meanwhile.
        """
        keys = window_keys(text_key(video.path), 0, video.num_windows)
        rows = list(self._index.store.windows(keys, ['start', 'mean']).values())
        if not rows:
            raise DamagedIndexError(f'the windows of {video.path} are missing')
        closest = min(rows, key=lambda row: (abs(row['start'] - seconds), row['start']))
        return np.array(closest['mean'], np.float32)

    def frames_of(self, video: StoredVideo, max_windows: int) -> tuple[np.ndarray, np.ndarray]:
        """Read the frames of a video's windows, without those that are replaced meanwhile.

        See `IndexView.frames_of`.
        """
        store = self._index.store
        keys = window_keys(text_key(video.path), 0, video.num_windows)
        keys = keys[:: math.ceil(len(keys) / max_windows)]
        facts = store.windows(keys, ['num_frames', 'frames_crc'])
        keys = [key for key in keys if key in facts]
        records = store.read_frames(keys)
        is_whole = np.array(
            [
                zlib.crc32(record.tobytes()) == facts[key]['frames_crc']
                for key, record in zip(keys, records, strict=True)
            ],
            bool,
        )
        num_frames = np.array([facts[key]['num_frames'] for key in keys], np.int64)
        return records[is_whole], num_frames[is_whole]
