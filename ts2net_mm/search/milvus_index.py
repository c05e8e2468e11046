"""Search an index in Milvus."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .bound import Summary, dot_error
from .description import Description
from .filters import VideoFilter
from .index import MAX_CANDIDATES, QUERIES_AT_A_TIME, as_queries
from .milvus import MilvusStore
from .milvus_client import CONNECT_SECONDS
from .milvus_rows import NUMBERS, filter_expression, left_out, may_reach, read_video, unescape
from .packing import PackedVideo
from .records import DamagedIndexError
from .results import SearchResult
from .view import StoredVideo
from .window_search import WindowSearch

__all__ = ['MilvusIndex']

FIRST_LIMIT, GROWTH, LARGEST_LIMIT = 256, 8, 16_384  # windows of a request; Milvus allows no more
ATTEMPTS = 4  # while videos are replaced
PAUSE = 0.2  # seconds before the second attempt


class MilvusIndex:
    """Search the videos of an index in Milvus, exactly where that can be certain.

    The database finds the windows with the largest products of query and mean. Then it is asked for
    those that may still belong to the best although their products are smaller, until there are
    none.

    Args:
        address: ``gallery.db`` or ``http://host:19530``, see `MilvusStore`.
        token: Password of the server; by default that in ``$MILVUS_TOKEN``.
        timeout: Seconds to connect.

    Raises:
        FileNotFoundError: If there is no index.
        MilvusError: If the server cannot be reached, or another process has the file.
        ValueError: If the collections are not those of an index, or pymilvus is not installed.

    Example:
        >>> # xdoctest: +SKIP(needs an index)
        >>> index = MilvusIndex('gallery.db')
        >>> index.search(features, topk=10)[0].certificate
        'exact'
    """

    def __init__(
        self,
        address: str | Path,
        *,
        token: str | None = None,
        timeout: float = CONNECT_SECONDS,
    ) -> None:
        self.store = MilvusStore(address, token=token, timeout=timeout)

    @property
    def description(self) -> Description:
        """What the index was made with."""
        return self.store.description

    def close(self) -> None:
        """Close the connection."""
        self.store.close()

    def search(
        self,
        queries: np.ndarray,
        *,
        topk: int = 10,
        filters: VideoFilter | None = None,
        num_moments: int = 3,
        max_candidates: int | None = MAX_CANDIDATES,
    ) -> list[SearchResult]:
        """Find the best videos for each query.

        Args:
            queries: Features of sentences, as the model returns them.
            topk: Number of videos.
            filters: Conditions on the videos.
            num_moments: Most moments of a video.
            max_candidates: Most windows to score for a query before the moments are collected; None
                for no limit but that of Milvus, which returns 16,384 windows of a request.

        Shape:
            queries: (Q, D) -> Q results

        Raises:
            ValueError: If ``topk`` is below 1, or queries have another shape or are not finite.
            MilvusError: If the database fails.
            DamagedIndexError: If a checksum of what is read is wrong.
        """
        queries = as_queries(queries, topk, self.description.layout.dims)
        condition = filter_expression(filters)
        limit = min(max(FIRST_LIMIT, 16 * topk), LARGEST_LIMIT)
        results = []
        for first in range(0, len(queries), QUERIES_AT_A_TIME):
            part = queries[first : first + QUERIES_AT_A_TIME]
            found = self.store.nearest(part.astype(np.float32), condition, limit)
            for query, rows in zip(part, found, strict=True):
                search = _Search(self.store, query, condition, topk, max_candidates)
                results.append(search.run(rows, limit, num_moments))
        return results

    def count(self) -> tuple[int, int]:
        """Count the videos and the windows that may be found."""
        return self.store.count()

    def read_video(self, path: str) -> PackedVideo | None:
        """Read what is stored of a video; None if it is not there or was skipped.

        Raises:
            DamagedIndexError: If its checksum is wrong, or a row is missing.
        """
        try:
            video = self.store.read(path)
        except KeyError:
            return None
        return video if len(video.table) else None


class _ChangedError(Exception):
    """The frames of a window are not those that belong to its mean.

    Args:
        message: What is wrong.
        video: Key of the video.
    """

    def __init__(self, message: str, video: str) -> None:
        super().__init__(message)
        self.video = video


class _Search:
    """The search for one query."""

    def __init__(
        self,
        store: MilvusStore,
        query: np.ndarray,
        condition: str,
        topk: int,
        max_candidates: int | None,
    ) -> None:
        self.store = store
        self.query = query
        self.condition = condition
        self.topk = topk
        self.max_candidates = max_candidates

    def run(self, rows: Sequence[Any], limit: int, num_moments: int) -> SearchResult:
        """Search, and begin again without a video that is half written."""
        num_changes = 0
        while True:
            try:
                result, videos = self._run(rows, limit, num_moments)
                if not (hidden := self.store.videos.lacking(videos)):
                    return result
            except _ChangedError as error:
                hidden = self.store.videos.lacking([error.video])
                if not hidden:  # it is written by now
                    num_changes += 1
                    if num_changes == ATTEMPTS:
                        raise DamagedIndexError(str(error)) from error
                    time.sleep(PAUSE * 2 ** (num_changes - 1))
            self.condition = _both(self.condition, left_out(hidden))
            rows = self._ask(self.condition, limit)

    def _run(
        self, rows: Sequence[Any], limit: int, num_moments: int
    ) -> tuple[SearchResult, list[str]]:
        """Search, and return the keys of the videos of the hits, too."""
        found = _Found(self.store)
        found.add(rows)
        result = self._score(found, 1)
        while not (is_complete := len(rows) < limit) and limit < LARGEST_LIMIT:
            limit = min(GROWTH * limit, LARGEST_LIMIT)
            rows = self._ask(self._what_may_be_missing(rows, result), limit)
            found.add(rows)
            result = self._score(found, 1)
        is_certain = is_complete and result.exact
        videos = found.best(result)
        if num_moments > 1 and result.hits:
            names = ', '.join(f'"{video}"' for video in videos)
            found.add(self._ask(f'video in [{names}]', LARGEST_LIMIT))
            result = self._score(found, num_moments)
        is_exact = is_certain and self.store.is_exact
        return SearchResult(result.hits, is_exact, result.num_scored, is_certain), videos

    def _what_may_be_missing(self, rows: Sequence[Any], result: SearchResult) -> str:
        """Write which windows may be among the best whose products are below those of the rows."""
        least = result.hits[-1].score if len(result.hits) == self.topk else -np.inf
        largest = float(rows[-1]['distance']) + 2 * dot_error(len(self.query))
        return _both(self.condition, may_reach(least, largest))

    def _ask(self, condition: str, limit: int) -> Sequence[Any]:
        query = self.query[None].astype(np.float32)
        return self.store.nearest(query, condition, limit)[0]

    def _score(self, found: _Found, num_moments: int) -> SearchResult:
        products = np.array(found.products, np.float32)
        is_live = np.ones(len(products), bool)
        search = WindowSearch(found, self.store.score, self.query, products, is_live)
        limit = len(products) if self.max_candidates is None else self.max_candidates
        return search.run(self.topk, limit, num_moments)


def _both(*conditions: str) -> str:
    return ' and '.join(filter(None, conditions))


class _Found:
    """The windows that the database returned for a query; videos are numbered as they come."""

    def __init__(self, store: MilvusStore) -> None:
        self._store = store
        self.num_frames = store.description.layout.num_frames
        self.products: list[float] = []
        self.keys: list[str] = []  # of the videos
        self._rows: dict[str, dict[str, Any]] = {}
        self._numbers: dict[str, int] = {}
        self._videos: list[StoredVideo] = []
        self._frames: dict[int, np.ndarray] = {}
        self.add([])

    def add(self, rows: Sequence[Any]) -> None:
        """Add windows; those that are there are left as they are."""
        for row in rows:
            if row['key'] in self._rows:
                continue
            facts = row['entity']
            self._rows[row['key']] = facts
            self.products.append(row['distance'])
            if facts['video'] not in self._numbers:
                self._add_video(facts)
        table = list(self._rows.values())
        self.starts = np.array([facts['start'] for facts in table])
        self.ends = np.array([facts['end'] for facts in table])
        self.video_of_window = np.array([self._numbers[f['video']] for f in table], np.int64)
        numbers = {name: np.array([facts[name] for facts in table]) for name in NUMBERS}
        self.summary = Summary(
            radius=numbers['radius'].astype(np.float32),
            spread=numbers['spread'].astype(np.float32),
            mean_norm=numbers['mean_norm'].astype(np.float32),
            num_frames=numbers['num_frames'].astype(np.int64),
        )

    def best(self, result: SearchResult) -> list[str]:
        """Return the keys of the videos of the hits."""
        paths = {hit.path for hit in result.hits}
        return [
            key for key, video in zip(self.keys, self._videos, strict=True) if video.path in paths
        ]

    def video(self, number: int) -> StoredVideo:
        """Describe a video by its number."""
        return self._videos[number]

    def windows_of(self, number: int) -> np.ndarray:
        """Return the numbers of the windows of a video that were found."""
        return np.flatnonzero(self.video_of_window == number)

    def read_frames(self, windows: np.ndarray) -> np.ndarray:
        """Read the frames of windows, each only once.

        Raises:
            _ChangedError: If a window has changed meanwhile.
        """
        numbers = windows.tolist()
        keys = list(self._rows)
        new = [number for number in numbers if number not in self._frames]
        records = self._store.read_frames([keys[number] for number in new])
        for number, record in zip(new, records, strict=True):
            facts = self._rows[keys[number]]
            if zlib.crc32(record.tobytes()) != facts['frames_crc']:
                path = unescape(facts['path'])
                raise _ChangedError(
                    f'{self._store.address} is damaged: the frames of {path} are not what was '
                    'written',
                    facts['video'],
                )
            self._frames[number] = record
        if not numbers:
            return np.empty(0, self._store.description.layout.record)
        return np.array([self._frames[number] for number in numbers])

    def _add_video(self, facts: dict[str, Any]) -> None:
        number = len(self._videos)
        self._numbers[facts['video']] = number
        self.keys.append(facts['video'])
        self._videos.append(read_video(facts, number))
