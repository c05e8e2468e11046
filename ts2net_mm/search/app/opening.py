"""Open the index behind the app, and again when it is made again meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

from ..bound import Score
from ..description import DESCRIPTION
from ..index import VideoIndex
from ..index_view import FolderView, IndexView
from ..milvus_client import MilvusError, is_milvus_address
from ..milvus_index import MilvusIndex
from ..milvus_view import MilvusView
from ..store import VideoStore

__all__ = ['Opener', 'make_opener']


class Opener(Protocol):
    """Opens an index, and again if it was made again."""

    def view(self) -> IndexView:
        """Return the videos of the index.

        Raises:
            OSError: If the index was deleted, or its database cannot be reached.
            ValueError: If it cannot be read, or is now that of another model.
        """
        ...

    def close(self) -> None:
        """Close the index."""
        ...


def make_opener(address: str | Path, fingerprint: str, other_score: Score | None = None) -> Opener:
    """Open an index for the app.

    Args:
        address: Its address, see `open_index`.
        fingerprint: That of the model which encodes the queries.
        other_score: Computes the model's similarity where that has no certified bound.

    Raises:
        FileNotFoundError: If there is no index.
        ValueError: If it was made with another model, cannot be read, or needs pymilvus, which is
            not installed.
        MilvusError: If the server cannot be reached, or another process has the file.
    """
    if is_milvus_address(address):
        return _MilvusOpener(str(address), fingerprint)
    return _FolderOpener(Path(address).expanduser(), fingerprint, other_score)


class _FolderOpener:
    """Opens an index in a folder."""

    def __init__(self, folder: Path, fingerprint: str, other_score: Score | None) -> None:
        self._folder = folder
        self._fingerprint = fingerprint
        self._other_score = other_score
        self._lock = threading.Lock()
        self._state: tuple[int, ...] = ()
        self._index: VideoIndex | None = None
        self.view()

    def view(self) -> IndexView:
        """Return what is committed now."""
        with self._lock:
            status = (self._folder / DESCRIPTION).stat()
            state = (status.st_ino, status.st_mtime_ns)
            if self._index is None or state != self._state:
                description = VideoStore(self._folder).description
                score = self._other_score if description.score is None else None
                index = VideoIndex(self._folder, score=score)
                description.require_model(self._fingerprint, self._folder)
                self._index, self._state = index, state
            index = self._index
        return FolderView(index)

    def close(self) -> None:
        """Do nothing: files are closed with the process."""


class _MilvusOpener:
    """Opens an index in Milvus."""

    def __init__(self, address: str, fingerprint: str) -> None:
        self._address = address
        self._fingerprint = fingerprint
        self._lock = threading.Lock()
        self._index = self._open()

    def view(self) -> IndexView:
        """Return the videos of the index."""
        with self._lock:
            if not self._is_current():
                self._index.close()
                self._index = self._open()
            return MilvusView(self._index)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._index.close()

    def _is_current(self) -> bool:
        try:
            return self._index.store.is_current()
        except MilvusError:  # such as a server that was started again
            return False

    def _open(self) -> MilvusIndex:
        index = MilvusIndex(self._address)
        try:
            index.description.require_model(self._fingerprint, self._address)
        except ValueError:
            index.close()
            raise
        return index
