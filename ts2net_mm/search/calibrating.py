"""Calibrate an index: compare a query bank with all of its videos."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..utils.hubs import INVERSE_TEMPERATURE, TOPK, check_settings
from .bank_scores import SAME, as_corrections, score_videos
from .calibration import Calibration
from .index import VideoIndex, as_queries
from .view import View

__all__ = ['calibrate']


def calibrate(
    index: VideoIndex,
    bank: np.ndarray,
    *,
    inverse_temperature: float = INVERSE_TEMPERATURE,
    topk: int = TOPK,
    dynamic: bool = True,
    source: str = '',
    view: View | None = None,
    on_progress: Callable[[int], object] = lambda number: None,
) -> Calibration:
    """Compute how strongly each video attracts the sentences of a bank.

    The number of a video is ``log(sum(exp(b * s))) / b`` over the bank, where s is the score of its
    best window, as in `ts2net_mm.evaluation.dynamic_inverted_softmax`. Every window is scored with
    every sentence. `write_calibration` stores the result.

    Args:
        index: The index.
        bank: Features of the sentences, as the model returns them.
        inverse_temperature: The b, for cosines.
        topk: How many best videos of a sentence of the bank are hub candidates.
        dynamic: Whether only queries whose best video is a hub candidate are to be changed.
        source: The name of the bank, to show.
        view: The videos; by default all that are committed now.
        on_progress: Called with the number of videos that are done.

    Shape:
        bank: (Q, D)

    Raises:
        ValueError: If the bank or the index is empty, features are of another shape or not finite,
            or a setting is out of range.
        DamagedIndexError: If a checksum of what is read is wrong.
    """
    check_settings(inverse_temperature, topk)
    view = view or index.store.view()
    videos = np.flatnonzero(view.is_encoded)
    if not len(videos):
        raise ValueError('the index holds no video')
    if not len(bank):
        raise ValueError('the query bank holds no sentence')
    dims = index.description.layout.dims
    bank = as_queries(bank, 1, dims).astype(np.float32)  # as it is stored, and used later
    tables, best = [], _BestVideos(len(bank), topk)
    for numbers, scores in score_videos(view, index.score, bank, videos):
        tables.append(as_corrections(view, numbers, scores, inverse_temperature))
        best.add(scores)
        on_progress(len(numbers))
    table = np.concatenate(tables)
    table['is_hub'] = best.find_hubs()
    return Calibration(
        fingerprint=index.description.fingerprint,
        inverse_temperature=float(inverse_temperature),
        topk=topk,
        dynamic=dynamic,
        source=source,
        bank=bank,
        hub_scores=best.least,
        videos=table,
    )


class _BestVideos:
    """The best videos of each sentence, while their scores come in blocks.

    Args:
        num_queries: Number of sentences.
        topk: How many videos.
    """

    def __init__(self, num_queries: int, topk: int) -> None:
        self._top = np.full((num_queries, topk), -np.inf)
        self._num_videos = 0
        self._likely: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    @property
    def least(self) -> np.ndarray:
        """The score of the last of the best videos, -inf if there are fewer videos: (Q,)."""
        return self._top.min(axis=1)

    def add(self, scores: np.ndarray) -> None:
        """Add the scores of more videos: (Q, n)."""
        topk = self._top.shape[1]
        joined = np.concatenate([self._top, scores], axis=1)
        self._top = np.partition(joined, -topk, axis=1)[:, -topk:]
        queries, columns = np.nonzero(scores >= self.least[:, None] - SAME)
        self._likely.append((queries, columns + self._num_videos, scores[queries, columns]))
        self._num_videos += scores.shape[1]

    def find_hubs(self) -> np.ndarray:
        """Tell which videos are among the best of any sentence, ties included: (V,) bool."""
        is_hub = np.zeros(self._num_videos, bool)
        for queries, videos, scores in self._likely:
            is_hub[videos[scores >= self.least[queries] - SAME]] = True
        return is_hub
