"""Receive files, encode them as queries and delete them."""

from __future__ import annotations

import re
import secrets
import tempfile
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
import numpy as np
from anyio import to_thread

__all__ = ['UploadError', 'UploadedQuery', 'Uploads']

MAX_AT_A_TIME = 4
MAX_SECONDS = 600.0  # for the transfer of a file
NUM_KEPT = 1000  # queries; 2 MB with 512 channels
ENDING = re.compile(r'\.[A-Za-z0-9]{1,8}')


class UploadError(ValueError):
    """A file that is not accepted.

    Args:
        message: Why.
        status: HTTP status.
    """

    def __init__(self, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, eq=False)
class UploadedQuery:
    """A query made of a file.

    Args:
        name: Name of the file.
        vector: Its features, (D,).
    """

    name: str
    vector: np.ndarray


class Uploads:
    """Queries made of files, by a random token; the files are deleted as soon as they are encoded.

    Args:
        encode: Encodes a video or a picture: path -> (D,). It raises a ValueError for a file that
            cannot be read.
        max_bytes: Largest file.
    """

    def __init__(self, encode: Callable[[Path], np.ndarray], max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._encode = encode
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, UploadedQuery] = OrderedDict()
        self._num_running = 0

    def get(self, token: str) -> UploadedQuery | None:
        """Return a query that is still kept."""
        with self._lock:
            return self._kept.get(token)

    async def receive(self, name: str, chunks: AsyncIterator[bytes], stated_size: int = 0) -> str:
        """Encode a file that arrives in chunks; return the token of the query.

        Args:
            name: Name of the file.
            chunks: Its content.
            stated_size: Bytes that the sender announces; 0 if unknown.

        Raises:
            UploadError: If it is empty, too large, too slow or cannot be read, or too many arrive.
        """
        if self._num_running >= MAX_AT_A_TIME:
            raise UploadError('Too many files arrive at once, try again later.', 503)
        self._check_size(stated_size)
        self._num_running += 1
        try:
            with tempfile.TemporaryDirectory(prefix='ts2net_mm_') as folder:
                found = ENDING.fullmatch(Path(name).suffix)
                path = Path(folder, f'upload{found[0] if found else ""}')
                await self._write(path, chunks)
                vector = await to_thread.run_sync(self._encode_file, path)
        finally:
            self._num_running -= 1
        token = secrets.token_urlsafe(12)
        with self._lock:
            self._kept[token] = UploadedQuery(name or 'a file', vector)
            if len(self._kept) > NUM_KEPT:
                self._kept.popitem(last=False)
        return token

    async def _write(self, path: Path, chunks: AsyncIterator[bytes]) -> None:
        size = 0
        try:
            with anyio.fail_after(MAX_SECONDS), path.open('wb') as file:
                async for chunk in chunks:
                    size += len(chunk)
                    self._check_size(size)
                    file.write(chunk)
        except TimeoutError:
            raise UploadError('The file took too long to arrive.', 408) from None
        if not size:
            raise UploadError('The file is empty.')

    def _check_size(self, size: int) -> None:
        if size > self.max_bytes:
            limit = f'{self.max_bytes / 2**20:,.3g} MB'
            raise UploadError(f'The file is too large: at most {limit} are read.', 413)

    def _encode_file(self, path: Path) -> np.ndarray:
        try:
            return self._encode(path)
        except ValueError as error:
            raise UploadError(f'The file cannot be read: {error}') from error
