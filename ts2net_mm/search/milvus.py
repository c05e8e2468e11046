"""An index in Milvus: a file of Milvus Lite, or a server that many machines use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ..utils.files import ensure_folder
from .bound import score_from_settings
from .milvus_client import CONNECT_SECONDS, MilvusConnection, split_address
from .milvus_rows import (
    COLLECTIONS,
    DESCRIPTION_KEY,
    FRAMES,
    NO_VECTOR,
    VIDEOS,
    WINDOW_FACTS,
    WINDOWS,
    escape,
    fields,
    frame_keys,
    read_record,
    read_windows,
    text_key,
    unescape,
    window_keys,
)
from .milvus_writer import MilvusWriter
from .packing import PackedVideo
from .records import ENCODED, DamagedIndexError
from .store import Description

__all__ = ['MilvusStore']

EXACT_INDEX = 'FLAT'
VIDEO_FACTS = ('path', 'size', 'mtime_ns', 'duration', 'kind', 'num_windows', 'checksum', 'note')


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
        if description.score is None:
            raise ValueError(
                'an index in Milvus needs a score with a certified bound; keep this one in a folder'
            )
        if place.endswith('.db'):
            if index_type != EXACT_INDEX:
                raise ValueError(f'index_type={index_type!r}: Milvus Lite loses rows, use FLAT')
            ensure_folder(Path(place).expanduser().absolute().parent, 'folder of the database')
        with MilvusConnection(place, token=token, timeout=timeout) as connection:
            for collection in COLLECTIONS:
                full_name = f'{name}_{collection}'
                if not connection('has_collection', full_name):
                    kind = index_type if collection == WINDOWS else EXACT_INDEX
                    _create(connection, collection, full_name, description, kind, index_options)
                connection('load_collection', full_name)
            videos = f'{name}_{VIDEOS}'
            if not connection.get(videos, [DESCRIPTION_KEY], ['note']):
                row = dict(
                    key=DESCRIPTION_KEY, no_vector=NO_VECTOR, path='', duration=-1.0, kind=-1
                )
                row |= dict.fromkeys(('size', 'mtime_ns', 'num_windows', 'checksum'), 0)
                connection('upsert', videos, [row | dict(note=escape(description.to_json()))])
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
        videos = self.connection.count(self._names[VIDEOS], f'kind == {ENCODED}')
        return videos, self.connection.count(self._names[WINDOWS])

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
        rows = self.connection.rows(self._names[VIDEOS], 'kind >= 0', ['path'])
        return [unescape(row['path']) for row in rows]

    def checksum(self, path: str) -> int | None:
        """Return the checksum of a video; None if it is not there."""
        row = self._video_rows([path]).get(text_key(path))
        return None if row is None else int(row['checksum'])

    def read(self, path: str) -> PackedVideo:
        """Read a video.

        Raises:
            KeyError: If it is not there.
            DamagedIndexError: If its checksum is wrong, or a row is missing.
        """
        key = text_key(path)
        row = self._video_rows([path])[key]
        keys = window_keys(key, 0, row['num_windows'])
        facts = [*WINDOW_FACTS, 'mean']
        found = self.connection.get(self._names[WINDOWS], keys, facts)
        windows = [found[window] for window in keys if window in found]
        layout = self.description.layout
        means = np.array([window['mean'] for window in windows], np.float32)
        video = PackedVideo(
            path=unescape(row['path']),
            size=row['size'],
            mtime_ns=row['mtime_ns'],
            duration=row['duration'] if row['duration'] >= 0 else math.nan,
            kind=row['kind'],
            note=unescape(row['note']),
            table=read_windows(windows, means),
            means=means.reshape(-1, layout.dims),
            frames=self.read_frames([window['key'] for window in windows]),
        )
        if video.checksum != row['checksum']:
            raise DamagedIndexError(f'{path} in {self.address} is damaged: its checksum is wrong')
        return video

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

    def _video_rows(self, paths: Sequence[str]) -> dict[str, Any]:
        keys = [text_key(path) for path in paths]
        return self.connection.get(self._names[VIDEOS], keys, VIDEO_FACTS)

    def _read_description(self) -> Description:
        for full_name in self._names.values():
            if not self.connection('has_collection', full_name):
                others = ', '.join(self.connection('list_collections')) or 'no collection'
                raise FileNotFoundError(
                    f'{self.address} holds no index: it has no collection {full_name}, but {others}'
                )
            self.connection('load_collection', full_name)
        rows = self.connection.get(self._names[VIDEOS], [DESCRIPTION_KEY], ['note'])
        if not rows:
            raise FileNotFoundError(f'{self.address} holds no index: its creation was interrupted')
        try:
            return Description.from_json(unescape(rows[DESCRIPTION_KEY]['note']))
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


def _create(
    connection: MilvusConnection,
    collection: str,
    full_name: str,
    description: Description,
    index_type: str,
    index_options: dict[str, Any] | None,
) -> None:
    from pymilvus import CollectionSchema, DataType, FieldSchema
    from pymilvus.milvus_client.index import IndexParams

    schema = CollectionSchema(
        [
            FieldSchema(name, **options | dict(dtype=DataType[options['dtype']]))
            for name, options in fields(collection, description.layout).items()
        ]
    )
    indices = IndexParams()
    vector = 'mean' if collection == WINDOWS else 'no_vector'
    options = dict(index_options or {}) if collection == WINDOWS else {}
    indices.add_index(vector, index_type=index_type, metric_type='IP', params=options)
    connection('create_collection', full_name, schema=schema, index_params=indices)
