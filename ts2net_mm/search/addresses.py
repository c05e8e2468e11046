"""Open an index by its address: a folder, a file of Milvus Lite, or a server."""

from __future__ import annotations

from pathlib import Path

from .index import SearchIndex, VideoIndex
from .milvus_client import is_milvus_address
from .milvus_index import MilvusIndex

__all__ = ['open_index']


def open_index(address: str | Path, *, token: str | None = None) -> SearchIndex:
    """Open an index to search it.

    Args:
        address: The folder of an index, ``gallery.db``, or ``http://host:19530``; the last two may
            end in ``#name``.
        token: Password of the server; by default that in ``$MILVUS_TOKEN``.

    Raises:
        FileNotFoundError: If there is no index.
        ValueError: If it cannot be read, or needs pymilvus, which is not installed.
        MilvusError: If the server cannot be reached, or another process has the file.
    """
    if is_milvus_address(address):
        return MilvusIndex(address, token=token)
    return VideoIndex(address)
