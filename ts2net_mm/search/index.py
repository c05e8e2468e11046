"""Find the videos of an index that fit a query best, and say whether these are certain to be."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from .bound import Score, score_from_settings
from .calibration import Calibration
from .current_calibration import CurrentCalibration
from .description import Description
from .filters import VideoFilter
from .packing import PackedVideo
from .results import SearchResult
from .store import VideoStore
from .view import View
from .window_search import WindowSearch

__all__ = ['MAX_CANDIDATES', 'QUERIES_AT_A_TIME', 'SearchIndex', 'VideoIndex', 'as_queries']

QUERIES_AT_A_TIME = 16  # 64 MB of products with a million windows
MAX_CANDIDATES = 20_000


class SearchIndex(Protocol):
    """An index that can be searched, wherever it is stored."""

    @property
    def description(self) -> Description:
        """What the index was made with."""
        ...

    def search(
        self,
        queries: np.ndarray,
        *,
        topk: int = 10,
        filters: VideoFilter | None = None,
        num_moments: int = 3,
        max_candidates: int | None = MAX_CANDIDATES,
    ) -> list[SearchResult]:
        """Find the best videos for each query: (Q, D) -> Q results."""
        ...

    def count(self) -> tuple[int, int]:
        """Count the videos and the windows that may be found."""
        ...

    def read_video(self, path: str) -> PackedVideo | None:
        """Read what is stored of a video; None if it is not there or was skipped."""
        ...


class VideoIndex:
    """Search the videos of an index, exactly where that can be certain.

    The products of query and means bound the score of every window. Windows are scored in the order
    of their upper bounds until no other can be among the best, or ``max_candidates`` are scored.

    Args:
        folder: The folder of the index.
        score: The score; by default the one of the index.

    Raises:
        FileNotFoundError: If there is no index.
        ValueError: If its description cannot be read, or its similarity has no certified bound and
            no score is given.

    Example:
        >>> # xdoctest: +SKIP(needs an index)
        >>> index = VideoIndex('index')
        >>> result = index.search(features, topk=10)[0]
        >>> result.exact, result.hits[0].path, result.hits[0].moments[0].start
        (True, '/videos/dog.mp4', 12.0)
    """

    def __init__(self, folder: str | Path, *, score: Score | None = None) -> None:
        self.store = VideoStore(folder)
        settings = self.store.description.score
        if score is None and settings is None:
            raise ValueError(f"the similarity of {folder}'s model has no certified bound")
        self.score: Score = score or score_from_settings(settings or {})
        self._calibration = CurrentCalibration(self.store, self.score)

    @property
    def description(self) -> Description:
        """What the index was made with."""
        return self.store.description

    def search(
        self,
        queries: np.ndarray,
        *,
        topk: int = 10,
        filters: VideoFilter | None = None,
        allowed: np.ndarray | None = None,
        num_moments: int = 3,
        max_candidates: int | None = MAX_CANDIDATES,
        view: View | None = None,
        calibrated: bool = False,
    ) -> list[SearchResult]:
        """Find the best videos for each query.

        Args:
            queries: Features of sentences, as the model returns them.
            topk: Number of videos.
            filters: Conditions on the videos.
            allowed: Videos that may be found, by their number in the view; all by default.
            num_moments: Most moments of a video.
            max_candidates: Most windows to score for a query before the moments are collected; None
                for no limit.
            view: What to search; by default all that is committed now.
            calibrated: Whether to use the calibration of the index: for queries whose best video is
                a hub candidate, hits are ranked by their calibrated scores.

        Shape:
            queries: (Q, D), allowed: (V,) bool -> Q results

        Raises:
            ValueError: If ``topk`` is below 1, queries have another shape or are not finite, or the
                calibration is damaged or belongs to another model.
            FileNotFoundError: If the index is to be calibrated and is not.
            DamagedIndexError: If a checksum of what is read is wrong.
        """
        queries = as_queries(queries, topk, self.description.layout.dims)
        view = view or self.store.view()
        corrections = self._calibration.corrections(view) if calibrated else None
        is_live = view.is_live
        for condition in (allowed, filters.allowed(view) if filters else None):
            if condition is not None:
                is_live = is_live & condition[view.video_of_window]
        results = []
        for first in range(0, len(queries), QUERIES_AT_A_TIME):
            part = queries[first : first + QUERIES_AT_A_TIME]
            products = view.products(part.astype(np.float32))
            for query, row in zip(part, products, strict=True):
                search = WindowSearch(view, self.score, query, row, is_live, corrections)
                limit = len(view) if max_candidates is None else max_candidates
                results.append(search.run(topk, limit, num_moments))
        return results

    def calibration(self) -> Calibration:
        """Return the calibration of the index.

        Raises:
            FileNotFoundError: If it has none.
            ValueError: If it is damaged, or belongs to another model.
        """
        return self._calibration.read()

    def count(self) -> tuple[int, int]:
        """Count the videos and the windows that may be found."""
        view = self.store.view()
        return view.num_videos, view.num_windows

    def read_video(self, path: str) -> PackedVideo | None:
        """Read what is stored of a video; None if it is not there or was skipped.

        Raises:
            DamagedIndexError: If a checksum is wrong.
        """
        view = self.store.view()
        video = view.find(path)
        return view.read_video(video.number) if video and video.num_windows else None


def as_queries(queries: np.ndarray, topk: int, dims: int) -> np.ndarray:
    """Return queries in double precision and of length 1.

    Raises:
        ValueError: If ``topk`` is below 1, or queries have another shape or are not finite.
    """
    if topk < 1:
        raise ValueError(f'topk={topk}, expected at least 1')
    queries = np.asarray(queries, dtype=np.float64)
    if queries.ndim != 2 or queries.shape[1] != dims:
        raise ValueError(f'queries have shape {queries.shape}, expected (queries, {dims})')
    if not np.isfinite(queries).all():
        raise ValueError('queries are not finite')
    return queries / np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-12)
