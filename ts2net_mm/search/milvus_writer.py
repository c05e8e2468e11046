"""Add videos to an index in Milvus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from .bound import score_from_settings
from .description import Description
from .milvus_client import MilvusConnection
from .milvus_rows import (
    FRAMES,
    LONGEST_TEXT,
    UNFINISHED,
    VIDEOS,
    WINDOWS,
    frame_keys,
    frame_rows,
    text_key,
    video_row,
    window_keys,
    window_rows,
)
from .packing import PackedVideo, pack
from .records import REMOVED, VideoEntry

__all__ = ['MilvusWriter']


class MilvusWriter:
    """Adds videos to an index in Milvus, and removes them.

    A crash may leave a video of which some windows are there. Its own row says so until all of them
    are, and whoever adds the video again replaces or deletes them.

    Args:
        connection: The connection to the database.
        names: Names of the collections of the index.
        description: What the index was made with.
    """

    def __init__(
        self, connection: MilvusConnection, names: Mapping[str, str], description: Description
    ) -> None:
        self._connection = connection
        self._names = names
        self._description = description
        self._score = score_from_settings(description.score or {})

    def __enter__(self) -> MilvusWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let the database write what it has to its storage, which searches read faster."""
        if kind is None:
            for name in self._names.values():
                self._connection('flush', name)

    def add(self, entries: Sequence[VideoEntry | PackedVideo]) -> None:
        """Add videos; each replaces what the index has for its path.

        Raises:
            ValueError: If features are not finite, or of another shape than the index; nothing is
                added then.
            MilvusError: If the database refuses.
        """
        layout = self._description.layout
        videos = [e if isinstance(e, PackedVideo) else pack(e, layout) for e in entries]
        kept = [video for video in videos if video.kind != REMOVED]
        before = self._counts_of(videos)
        rows = [video_row(video) for video in kept]
        self._upsert(VIDEOS, [_unfinished(row, before.get(row['key'])) for row in rows], 1000)
        for video in kept:
            record = min(4 * layout.record.itemsize // 3, LONGEST_TEXT) + 200
            self._upsert(FRAMES, frame_rows(video, layout), record)
            windows = window_rows(video, layout, self._score, self._description.fingerprint)
            self._upsert(WINDOWS, windows, 4 * layout.dims + 1000)
        self._delete_what_follows(videos, before)
        self._upsert(VIDEOS, rows, 1000)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove videos.

        Raises:
            MilvusError: If the database refuses.
        """
        self.add([VideoEntry(path, removed=True) for path in paths])

    def _counts_of(self, videos: Sequence[PackedVideo]) -> dict[str, Any]:
        """Return the rows of earlier versions of videos, with their numbers of windows."""
        keys = [text_key(video.path) for video in videos]
        return self._connection.get(self._names[VIDEOS], keys, ['num_windows'])

    def _upsert(self, collection: str, rows: Sequence[dict[str, Any]], row_bytes: int) -> None:
        self._connection.upsert(self._names[collection], rows, row_bytes)

    def _delete_what_follows(
        self, videos: Sequence[PackedVideo], before: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Delete the windows of earlier versions that were not replaced, and removed videos."""
        windows = []
        for video in videos:
            key = text_key(video.path)
            if key in before:
                windows += window_keys(key, len(video.table), before[key]['num_windows'])
        layout = self._description.layout
        frames = [key for window in windows for key in frame_keys(window, layout)]
        removed = [text_key(video.path) for video in videos if video.kind == REMOVED]
        for collection, keys in ((WINDOWS, windows), (FRAMES, frames), (VIDEOS, removed)):
            self._connection.delete(self._names[collection], keys)


def _unfinished(row: dict[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the row of a video while its windows are written: it covers old and new ones."""
    count = max(row['num_windows'], before['num_windows'] if before else 0)
    return row | dict(num_windows=count, checksum=UNFINISHED)
