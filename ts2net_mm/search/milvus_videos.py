"""The videos of an index in Milvus: which are there, whole, and which are half written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .milvus_client import MilvusConnection
from .milvus_rows import UNFINISHED, VIDEO_FACTS, key_text, read_video, text_key, unescape
from .records import ENCODED
from .view import StoredVideo

__all__ = ['VideoRows']

WHOLE = f'checksum != {UNFINISHED}'


class VideoRows:
    """The rows of videos. A video that is being written, or was when its writer died, is not there.

    Args:
        connection: The connection to the database.
        name: Name of the collection.
    """

    def __init__(self, connection: MilvusConnection, name: str) -> None:
        self._connection = connection
        self._name = name

    def get(self, keys: Sequence[str]) -> dict[str, Any]:
        """Return rows by the keys of videos; those that are not there are missing."""
        rows = self._connection.get(self._name, keys, VIDEO_FACTS)
        return {key: row for key, row in rows.items() if row['checksum'] != UNFINISHED}

    def find(self, paths: Sequence[str]) -> dict[str, StoredVideo]:
        """Return videos by their paths, encoded or skipped, as far as they are there."""
        videos = map(read_video, self.get([text_key(path) for path in paths]).values())
        return {video.path: video for video in videos}

    def find_key(self, key: tuple[int, int]) -> StoredVideo | None:
        """Return a video by the hash of its path, encoded or skipped."""
        rows = list(self.get([key_text(key)]).values())
        return read_video(rows[0]) if rows else None

    def paths(self) -> Iterator[str]:
        """Yield the paths of all videos, encoded and skipped."""
        return self._paths('kind >= 0')

    def encoded_paths(self) -> Iterator[str]:
        """Yield the paths of the videos that may be found."""
        return self._paths(f'kind == {ENCODED}')

    def count(self) -> int:
        """Count all videos, encoded and skipped."""
        return self._connection.count(self._name, f'kind >= 0 and {WHOLE}')

    def count_encoded(self) -> int:
        """Count the videos that may be found."""
        return self._connection.count(self._name, f'kind == {ENCODED} and {WHOLE}')

    def unfinished(self) -> set[str]:
        """Return the keys of the videos that are half written."""
        rows = self._connection.rows(self._name, f'checksum == {UNFINISHED}', ['key'])
        return {row['key'] for row in rows}

    def lacking(self, keys: Sequence[str]) -> set[str]:
        """Return which of some videos are half written or gone, by their keys.

        If there is one, all that are half written are added: a writer adds several at a time.
        """
        found = set(keys) - self.get(keys).keys()
        return found | self.unfinished() if found else found

    def _paths(self, condition: str) -> Iterator[str]:
        rows = self._connection.rows(self._name, f'{condition} and {WHOLE}', ['path'])
        return (unescape(row['path']) for row in rows)
