"""Make the collections of an index in Milvus, also while other processes make the same."""

from __future__ import annotations

import time
from typing import Any

from .description import Description
from .milvus_client import MilvusConnection, MilvusError
from .milvus_rows import (
    COLLECTIONS,
    DESCRIPTION_KEY,
    NO_VECTOR,
    VIDEOS,
    WINDOWS,
    escape,
    fields,
)

__all__ = ['EXACT_INDEX', 'make_collections', 'require_bound']

EXACT_INDEX = 'FLAT'
ATTEMPTS = 5  # while other processes make the same
PAUSE = 0.3  # seconds between two attempts


def require_bound(score: dict[str, Any] | None) -> None:
    """Raise an error for a score that an index in Milvus cannot have.

    Raises:
        ValueError: If it has no certified bound.
    """
    if score is None:
        raise ValueError(
            'an index in Milvus needs a score with a certified bound; keep this one in a folder'
        )


def make_collections(
    connection: MilvusConnection,
    name: str,
    description: Description,
    index_type: str,
    index_options: dict[str, Any] | None,
) -> None:
    """Make what is missing of an index; its description is written last.

    Args:
        connection: The connection to the database.
        name: The name of the index.
        description: What the index is made with.
        index_type: How Milvus indexes the means.
        index_options: Options of the index type.

    Raises:
        MilvusError: If the database refuses.
    """
    for collection in COLLECTIONS:
        kind, options = (
            (index_type, index_options) if collection == WINDOWS else (EXACT_INDEX, None)
        )
        for attempt in range(ATTEMPTS):
            try:
                _make(connection, collection, f'{name}_{collection}', description, kind, options)
                break
            except MilvusError:  # another process may have been faster
                if attempt + 1 == ATTEMPTS:
                    raise
                time.sleep(PAUSE)
    videos = f'{name}_{VIDEOS}'
    if not connection.get(videos, [DESCRIPTION_KEY], ['note']):
        row = dict(key=DESCRIPTION_KEY, no_vector=NO_VECTOR, path='', duration=-1.0, kind=-1)
        row |= dict.fromkeys(('size', 'mtime_ns', 'num_windows', 'checksum'), 0)
        connection('upsert', videos, [row | dict(note=escape(description.to_json()))])


def _make(
    connection: MilvusConnection,
    collection: str,
    full_name: str,
    description: Description,
    index_type: str,
    index_options: dict[str, Any] | None,
) -> None:
    """Make what is missing of a collection, and load it."""
    from pymilvus import CollectionSchema, DataType, FieldSchema
    from pymilvus.milvus_client.index import IndexParams

    if not connection('has_collection', full_name):
        schema = CollectionSchema(
            [
                FieldSchema(name, **options | dict(dtype=DataType[options['dtype']]))
                for name, options in fields(collection, description.layout).items()
            ]
        )
        connection('create_collection', full_name, schema=schema)
    if not connection('list_indexes', full_name):
        indices = IndexParams()
        vector = 'mean' if collection == WINDOWS else 'no_vector'
        indices.add_index(
            vector, index_type=index_type, metric_type='IP', params=dict(index_options or {})
        )
        connection('create_index', full_name, indices)
    connection('load_collection', full_name)
