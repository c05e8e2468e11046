"""Where encoded videos go: an index in a folder or in Milvus, which may not exist yet."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Protocol

from .description import Description
from .milvus import MilvusStore
from .milvus_client import is_milvus_address
from .milvus_creation import require_bound
from .packing import PackedVideo
from .records import VideoEntry
from .store import VideoStore
from .view import StoredVideo

__all__ = ['Store', 'Target', 'VideoWriter']


class VideoWriter(Protocol):
    """Adds videos to an index."""

    def add(self, entries: Sequence[VideoEntry | PackedVideo]) -> None:
        """Add videos; each replaces what the index has for its path."""
        ...


class Store(Protocol):
    """An index to which videos are added, wherever it is stored."""

    description: Description

    def find(self, paths: Sequence[str]) -> dict[str, StoredVideo]:
        """Return videos by their paths, encoded or skipped, as far as they are there."""
        ...

    def count_records(self) -> int:
        """Count the videos that are there, encoded and skipped; replaced ones may count, too."""
        ...

    def writer(self) -> AbstractContextManager[VideoWriter]:
        """Return a writer."""
        ...


class Target:
    """Where encoded videos go: an index that may not exist yet. Use it in a ``with`` statement.

    Args:
        address: The folder of an index, or an address of Milvus, see `open_index`.
        token: Password of the server; by default that in ``$MILVUS_TOKEN``.

    Raises:
        ValueError: If the index there cannot be read, or needs pymilvus, which is not installed.
        MilvusError: If the server cannot be reached, or another process has the file.
    """

    def __init__(self, address: str | Path, *, token: str | None = None) -> None:
        self.address = address
        self._token = token
        self._store: VideoStore | MilvusStore | None = None
        self.open()  # errors come now, and not when videos are encoded

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *error: object) -> None:
        if isinstance(self._store, MilvusStore):
            self._store.close()

    def open(self) -> Store | None:
        """Return the index; None if there is none yet."""
        if self._store is None:
            with suppress(FileNotFoundError):
                self._store = (
                    MilvusStore(self.address, token=self._token)
                    if is_milvus_address(self.address)
                    else VideoStore(self.address)
                )
        return self._store

    def create(self, description: Description) -> Store:
        """Make the index, or return the one that is there.

        Raises:
            ValueError: If the index there has another description; the message says what differs.
            OSError: If it cannot be written.
        """
        if self._store is not None:
            self._store.description.require_same(description, str(self.address))
        elif is_milvus_address(self.address):
            self._store = MilvusStore.create(self.address, description, token=self._token)
        else:
            self._store = VideoStore.create(self.address, description)
        return self._store

    def require_score(self, score: dict[str, Any] | None) -> None:
        """Raise an error for the settings of a score that the index cannot have.

        Raises:
            ValueError: If it is in Milvus and the score has no certified bound.
        """
        if is_milvus_address(self.address):
            require_bound(score)
