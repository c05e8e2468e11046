"""A connection to Milvus, whose errors say what to do."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from ..utils.cli import require_packages
from .description import DESCRIPTION

__all__ = [
    'CONNECT_SECONDS',
    'TOKEN',
    'MilvusConnection',
    'MilvusError',
    'is_milvus_address',
    'require_milvus',
    'split_address',
]

DEFAULT_NAME = 'ts2net_mm'
TOKEN = 'MILVUS_TOKEN'  # environment variable
SCHEMES = ('http', 'https', 'tcp', 'unix')
CONNECT_SECONDS = 10.0
CALL_SECONDS = 120.0
# By default pymilvus pings every 10 seconds. gRPC servers allow a ping every 300 seconds, and close
# connections with more; only those of Milvus itself are set up otherwise.
PING_SECONDS = 330
ROWS_AT_A_TIME = 1000
BYTES_AT_A_TIME = 16 * 2**20  # of an insertion; servers refuse more than 64 MB

_users: Counter[str] = Counter()  # connections of this process to each file
_users_lock = threading.Lock()


class MilvusError(OSError):
    """Milvus cannot be reached, or did not do what it was asked."""


def is_milvus_address(address: str | Path) -> bool:
    """Tell an address of Milvus, a file ``*.db`` or a URL, from a folder of an index."""
    place = str(address).rpartition('#')[0] or str(address)
    return urlsplit(place).scheme in SCHEMES or (
        place.endswith('.db') and not (Path(place) / DESCRIPTION).exists()
    )


def split_address(address: str | Path) -> tuple[str, str]:
    """Split ``PLACE#NAME`` into the place of the database and the name of the index.

    Raises:
        ValueError: If the name is none.
    """
    place, has_name, name = str(address).partition('#')
    if not has_name:
        return place, DEFAULT_NAME
    if not re.fullmatch('[A-Za-z_][A-Za-z0-9_]{0,99}', name):
        raise ValueError(
            f'the name {name!r} in {address} is not one of an index, '
            'expected letters, digits and underscores'
        )
    return place, name


def require_milvus(place: str) -> None:
    """Raise an error for packages that a database needs and that are not installed.

    Raises:
        ValueError: If one is missing.
    """
    libraries = ('pymilvus', 'milvus_lite') if place.endswith('.db') else ('pymilvus',)
    require_packages(f'the index {place}', libraries, 'milvus')


class MilvusConnection:
    """Calls methods of `pymilvus.MilvusClient`.

    Args:
        place: A file that ends in ``.db``, for Milvus Lite in this process, or the URL of a server.
        token: Password of the server; by default that in ``$MILVUS_TOKEN``.
        timeout: Seconds to connect.

    Raises:
        ValueError: If pymilvus or milvus-lite is not installed.
        MilvusError: If the server cannot be reached, or another process has the file.
    """

    def __init__(
        self, place: str, *, token: str | None = None, timeout: float = CONNECT_SECONDS
    ) -> None:
        self.is_file = place.endswith('.db')
        self.place = str(Path(place).expanduser().absolute()) if self.is_file else place
        token = os.environ.get(TOKEN, '') if token is None else token
        with _users_lock:
            self._client = self._connect(token, timeout)
            _users[self.place] += 1

    def __enter__(self) -> MilvusConnection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; other processes may open the file after the last one."""
        if self._client is None:
            return
        self._client.close()
        self._client = None
        with _users_lock:
            _users[self.place] -= 1
            if self.is_file and not _users[self.place]:
                from milvus_lite.server_manager import server_manager_instance

                server_manager_instance.release_server(self.place)

    def __call__(self, method: str, *args: Any, **options: Any) -> Any:
        """Call a method of the client.

        Raises:
            MilvusError: If it fails.
        """
        from grpc import RpcError
        from pymilvus import MilvusException

        if self._client is None:
            raise MilvusError(f'the connection to {self.place} is closed')
        options.setdefault('timeout', CALL_SECONDS)
        try:
            return getattr(self._client, method)(*args, **options)
        except MilvusException as error:
            raise MilvusError(f'{self.place}: {method}: {error.message}') from error
        except RpcError as error:
            raise MilvusError(f'{self.place}: {method}: {error}') from error

    def get(self, collection: str, keys: Sequence[str], fields: Sequence[str]) -> dict[str, Any]:
        """Return rows by their keys; those that do not exist are missing."""
        found: dict[str, Any] = {}
        for first in range(0, len(keys), ROWS_AT_A_TIME):
            part = list(keys[first : first + ROWS_AT_A_TIME])
            rows = self('get', collection, ids=part, output_fields=list(fields))
            found |= {row['key']: row for row in rows}
        return found

    def upsert(self, collection: str, rows: Sequence[dict[str, Any]], row_bytes: int) -> None:
        """Insert rows, or replace those with the same keys."""
        step = max(1, min(ROWS_AT_A_TIME, BYTES_AT_A_TIME // row_bytes))
        for first in range(0, len(rows), step):
            self('upsert', collection, list(rows[first : first + step]))

    def delete(self, collection: str, keys: Sequence[str]) -> None:
        """Delete rows by their keys."""
        for first in range(0, len(keys), ROWS_AT_A_TIME):
            self('delete', collection, ids=list(keys[first : first + ROWS_AT_A_TIME]))

    def rows(
        self, collection: str, condition: str, fields: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """Yield all rows that fit a condition."""
        iterator = self(
            'query_iterator',
            collection,
            batch_size=ROWS_AT_A_TIME,
            filter=condition,
            output_fields=list(fields),
        )
        try:
            while part := iterator.next():
                yield from part
        finally:
            iterator.close()

    def count(self, collection: str, condition: str = '') -> int:
        """Count rows, with all that were written until now."""
        (row,) = self(
            'query',
            collection,
            filter=condition,
            output_fields=['count(*)'],
            consistency_level='Strong',
        )
        return int(row['count(*)'])

    def _connect(self, token: str, timeout: float) -> Any:
        require_milvus(self.place)
        # else gRPC prints a note in each worker that is forked, and ends some of them
        os.environ.setdefault('GRPC_ENABLE_FORK_SUPPORT', '0')
        from pymilvus import MilvusClient, MilvusException

        for library in ('pymilvus', 'milvus_lite', 'grpc._server'):  # they print what they raise
            logging.getLogger(library).setLevel(logging.CRITICAL)
        try:
            options = {'grpc.keepalive_time_ms': 1000 * PING_SECONDS}
            return MilvusClient(self.place, token=token, timeout=timeout, grpc_options=options)
        except MilvusException as error:
            raise MilvusError(self._explain(error.message, timeout)) from error

    def _explain(self, message: str, timeout: float) -> str:
        if not self.is_file:
            return f'no Milvus answers at {self.place} within {timeout:g} seconds: {message}'
        if Path(self.place).is_file():
            return f'{self.place} is not of Milvus Lite 3: it is a file, expected a folder'
        with suppress(FileNotFoundError), open(Path(self.place) / 'LOCK', 'rb') as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return (
                    f'{self.place} is open in another process; to share it, start '
                    f'`milvus-lite server --data-dir {self.place}` and open its http:// address'
                )
        return f'{self.place} cannot be opened: {message}'
