"""An index in Milvus: a file of Milvus Lite, or a server that many machines use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ..utils.files import ensure_folder
from .bound import score_from_settings
from .description import Description
from .milvus_client import CONNECT_SECONDS, MilvusConnection, split_address
from .milvus_creation import EXACT_INDEX, make_collections, require_bound
from .milvus_rows import (
    COLLECTIONS,
    DESCRIPTION_KEY,
    FRAMES,
    VIDEOS,
    WINDOW_FACTS,
    WINDOWS,
    escape,
    fields,
    frame_keys,
    left_out,
    read_record,
    read_video,
    read_windows,
    text_key,
    unescape,
    window_keys,
)
from .milvus_videos import VideoRows
from .milvus_writer import MilvusWriter
from .packing import PackedVideo
from .records import ENCODED, DamagedIndexError
from .view import StoredVideo

__all__ = ['MilvusStore']


class MilvusStore:
    """The videos of an index in Milvus.

    Args:
        address: ``gallery.db``, or ``http://host:19530``; with ``#name`` for one of several
            indices of a database.
        token: Password of the server; by default that in ``$MILVUS_TOKEN``.
        timeout: Seconds to connect.

    Raises:
        FileNotFoundError: If there is no index.
        MilvusError: If the server cannot be reached, or another process has the file.
        ValueError: If the collections are not those of an index, or pymilvus is not installed.

    Attributes:
        description: What the index was made with.
        index_type: How Milvus indexes the means.
        videos: Its videos.
    """

    def __init__(
        self,
        address: str | Path,
        *,
        token: str | None = None,
        timeout: float = CONNECT_SECONDS,
    ) -> None:
        self.address = str(address)
        place, name = split_address(address)
        if place.endswith('.db') and not Path(place).expanduser().exists():
            raise FileNotFoundError(f'{place} does not exist')
        self.connection = MilvusConnection(place, token=token, timeout=timeout)
        try:
            self._names = {collection: f'{name}_{collection}' for collection in COLLECTIONS}
            self.videos = VideoRows(self.connection, self._names[VIDEOS])
            self.description = self._read_description()
            self.score = score_from_settings(self.description.score or {})
            self.index_type = self._check_windows()
        except BaseException:
            self.connection.close()
            raise

    @classmethod
    def create(
        cls,
        address: str | Path,
        description: Description,
        *,
        token: str | None = None,
        timeout: float = CONNECT_SECONDS,
        index_type: str = EXACT_INDEX,
        index_options: dict[str, Any] | None = None,
    ) -> MilvusStore:
        """Make an index, or open the one that is there.

        Args:
            address: See the class.
            description: What the index is made with.
            token: See the class.
            timeout: See the class.
            index_type: How Milvus indexes the means, such as 'HNSW'. With all but 'FLAT', results
                are exact as far as the recall of that index.
            index_options: Options of the index type.

        Raises:
            ValueError: If the index there has another description, the score has no certified
                bound, or a file of Milvus Lite is to have an approximate index.
            MilvusError: If the database refuses.
        """
        place, name = split_address(address)
        require_bound(description.score)
        if place.endswith('.db'):
            if index_type != EXACT_INDEX:
                raise ValueError(f'index_type={index_type!r}: Milvus Lite loses rows, use FLAT')
            ensure_folder(Path(place).expanduser().absolute().parent, 'folder of the database')
        with MilvusConnection(place, token=token, timeout=timeout) as connection:
            make_collections(connection, name, description, index_type, index_options)
            store = cls(address, token=token, timeout=timeout)
        try:
            store.description.require_same(description, store.address)
        except ValueError:
            store.close()
            raise
        return store

    @property
    def is_exact(self) -> bool:
        """Whether a search of the database finds all vectors; approximate indices lose some."""
        return self.index_type == EXACT_INDEX

    def __enter__(self) -> MilvusStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def count(self) -> tuple[int, int]:
        """Count the videos and the windows that may be found."""
        windows = self.connection.count(self._names[WINDOWS], left_out(self.videos.unfinished()))
        return self.videos.count_encoded(), windows

    def count_records(self) -> int:
        """Count the videos that are whole, encoded and skipped."""
        return self.videos.count()

    def check_counts(self) -> None:
        """Check that no window is missing, and none is there that belongs to no video.

        Raises:
            DamagedIndexError: If there are more or fewer windows or frames than there should be.
        """
        rows = self.connection.rows(self._names[VIDEOS], f'kind == {ENCODED}', ['num_windows'])
        windows = sum(row['num_windows'] for row in rows)
        frames = windows * len(frame_keys('', self.description.layout))
        for collection, number in ((WINDOWS, windows), (FRAMES, frames)):
            name = self._names[collection]
            if (found := self.connection.count(name)) != number:
                raise DamagedIndexError(f'{self.address} has {found} {name}, expected {number}')

    def writer(self) -> MilvusWriter:
        """Return a writer; use it in a ``with`` statement."""
        return MilvusWriter(self.connection, self._names, self.description)

    def paths(self) -> list[str]:
        """Return the paths of all videos, encoded and skipped."""
        return list(self.videos.paths())

    def find(self, paths: Sequence[str]) -> dict[str, StoredVideo]:
        """Return videos by their paths, encoded or skipped, as far as they are there."""
        return self.videos.find(paths)

    def is_current(self) -> bool:
        """Tell whether the index was not made again since it was opened.

        Raises:
            MilvusError: If the database does not answer.
            ValueError: If the description there cannot be read.
        """
        return self._stored_description() == self.description

    def checksum(self, path: str) -> int | None:
        """Return the checksum of a video; None if it is not there."""
        row = self.videos.get([text_key(path)]).get(text_key(path))
        return None if row is None else int(row['checksum'])

    def read(self, path: str) -> PackedVideo:
        """Read a video.

        Raises:
            KeyError: If it is not there.
            DamagedIndexError: If its checksum is wrong, or a row is missing.
        """
        key = text_key(path)
        row = self.videos.get([key])[key]
        keys = window_keys(key, 0, row['num_windows'])
        facts = [*WINDOW_FACTS, 'mean']
        found = self.windows(keys, facts)
        windows = [found[window] for window in keys if window in found]
        layout = self.description.layout
        means = np.array([window['mean'] for window in windows], np.float32)
        video = PackedVideo(
            path=path,
            size=row['size'],
            mtime_ns=row['mtime_ns'],
            duration=read_video(row).duration,
            kind=row['kind'],
            note=unescape(row['note']),
            table=read_windows(windows, means),
            means=means.reshape(-1, layout.dims),
            frames=self.read_frames([window['key'] for window in windows]),
        )
        if video.checksum != row['checksum']:
            raise DamagedIndexError(f'{path} in {self.address} is damaged: its checksum is wrong')
        return video

    def windows(self, keys: Sequence[str], facts: Sequence[str]) -> dict[str, Any]:
        """Return facts of windows by the keys of their rows; those that are missing are, too."""
        return self.connection.get(self._names[WINDOWS], keys, facts)

    def read_frames(self, windows: Sequence[str]) -> np.ndarray:
        """Read the frames of windows: records of ``layout.record``, zero where rows are missing."""
        layout = self.description.layout
        keys = [frame_keys(window, layout) for window in windows]
        flat = [key for parts in keys for key in parts]
        rows = self.connection.get(self._names[FRAMES], flat, ['record'])
        nothing = bytes(layout.record.itemsize)
        records = []
        for parts in keys:
            content = read_record(parts, rows)
            is_whole = content is not None and len(content) == len(nothing)
            records.append(content if content and is_whole else nothing)
        return np.frombuffer(b''.join(records), layout.record)

    def nearest(self, queries: np.ndarray, condition: str, limit: int) -> list[list[Any]]:
        """Return the windows with the largest products, the largest first, for each query.

        Args:
            queries: Queries of length 1.
            condition: Which windows count, as an expression of Milvus; all if it is empty.
            limit: Most windows for a query.

        Shape:
            queries: (Q, D) float32
        """
        # a graph is searched for at least as many windows as it is to return
        options = dict(ef=limit) if self.index_type.startswith('HNSW') else {}
        return self.connection(
            'search',
            self._names[WINDOWS],
            data=queries,
            anns_field='mean',
            filter=condition,
            limit=limit,
            output_fields=list(WINDOW_FACTS),
            search_params=dict(metric_type='IP', params=options),
        )

    def _read_description(self) -> Description:
        for full_name in self._names.values():
            if not self.connection('has_collection', full_name):
                others = ', '.join(self.connection('list_collections')) or 'no collection'
                raise FileNotFoundError(
                    f'{self.address} holds no index: it has no collection {full_name}, but {others}'
                )
            if not self.connection('list_indexes', full_name):
                raise FileNotFoundError(f'{self.address} holds no index: {full_name} is not ready')
            self.connection('load_collection', full_name)
        description = self._stored_description()
        if description is None:
            raise FileNotFoundError(f'{self.address} holds no index: its creation was interrupted')
        return description

    def _stored_description(self) -> Description | None:
        rows = self.connection(
            'get',
            self._names[VIDEOS],
            ids=[DESCRIPTION_KEY],
            output_fields=['note'],
            timeout=CONNECT_SECONDS,
        )
        if not rows:
            return None
        try:
            return Description.from_json(unescape(rows[0]['note']))
        except ValueError as error:
            raise ValueError(f'the description in {self.address} is none: {error}') from error

    def _check_windows(self) -> str:
        """Check the collection of windows against the description; return its index type."""
        name, layout = self._names[WINDOWS], self.description.layout
        found = {f['name']: f for f in self.connection('describe_collection', name)['fields']}
        missing = fields(WINDOWS, layout).keys() - found.keys()
        if missing:
            raise ValueError(
                f'{name} in {self.address} is not of this version: it has no field '
                f'{", ".join(sorted(missing))}'
            )
        if (dims := int(found['mean']['params']['dim'])) != layout.dims:
            raise ValueError(
                f'{name} in {self.address} has vectors of {dims} channels, expected {layout.dims}'
            )
        model = escape(self.description.fingerprint)
        if others := self.connection(
            'query', name, filter=f'model != "{model}"', output_fields=['model'], limit=1
        ):
            raise ValueError(
                f'{name} in {self.address} has windows of another model: the fingerprint is '
                f'{unescape(others[0]["model"])}, expected {self.description.fingerprint}'
            )
        return str(self.connection('describe_index', name, 'mean')['index_type'])
