"""Score all windows of videos with all sentences of a query bank."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..utils.hubs import soft_maximum
from .bound import Score, ScoredFrames
from .calibration import CORRECTION
from .view import View

__all__ = ['SAME', 'as_corrections', 'score_videos']

WINDOWS_AT_A_TIME = 512  # 25 MB of 12 frames of 512 channels in double precision
QUERIES_AT_A_TIME = 64  # 3 MB of their cosines
SAME = 1e-6  # scores that differ by less may be those of one video, encoded twice


def score_videos(
    view: View, score: Score, queries: np.ndarray, videos: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the score of every query with some videos, until all videos had their turn.

    The score of a video is that of its best window.

    Args:
        view: The videos.
        score: The score.
        queries: Queries of length 1.
        videos: Numbers of the videos in the view.

    Yields:
        Numbers of videos, and their scores.

    Shape:
        queries: (Q, D), videos: (V,) -> (n,), (Q, n)

    Raises:
        DamagedIndexError: If a checksum of what is read is wrong.
    """
    queries = queries.astype(np.float64)
    # a block begins where the windows before it fill a multiple of the limit
    counts = view.videos['num_windows'][videos].astype(np.int64)
    blocks = (np.cumsum(counts) - counts) // WINDOWS_AT_A_TIME
    for part in np.split(videos, np.flatnonzero(np.diff(blocks)) + 1):
        if len(part):
            yield part, _best_scores(view, score, queries, part)


def _best_scores(view: View, score: Score, queries: np.ndarray, videos: np.ndarray) -> np.ndarray:
    """Compute the score of every query with each video: (Q, n)."""
    windows = np.concatenate([view.windows_of(number) for number in videos.tolist()])
    owners = np.repeat(np.arange(len(videos)), view.videos['num_windows'][videos])
    best = np.full((len(queries), len(videos)), -np.inf)
    for first in range(0, len(windows), WINDOWS_AT_A_TIME):
        rows = slice(first, first + WINDOWS_AT_A_TIME)
        scores = _score_windows(view, score, queries, windows[rows])
        found, starts = np.unique(owners[rows], return_index=True)
        of_videos = np.maximum.reduceat(scores, starts, axis=1)
        best[:, found] = np.maximum(best[:, found], of_videos)
    return best


def _score_windows(
    view: View, score: Score, queries: np.ndarray, windows: np.ndarray
) -> np.ndarray:
    """Compute the score of every query with each window: (Q, n)."""
    records = view.read_frames(windows)
    num_frames = view.summary.num_frames[windows]
    mean_norm = view.summary.mean_norm[windows]
    frames = records['frames'].astype(np.float64)
    scores = np.empty((len(queries), len(windows)))
    for first in range(0, len(queries), QUERIES_AT_A_TIME):
        part = queries[first : first + QUERIES_AT_A_TIME]
        cosines = part @ frames.reshape(-1, frames.shape[-1]).T
        cosines = cosines.reshape(len(part), *frames.shape[:2])
        for number, query in enumerate(part):
            scored = ScoredFrames(
                cosines[number], records['frames'], records['norms'], num_frames, mean_norm
            )
            scores[first + number] = score.exact(query, scored)
    return scores


def as_corrections(
    view: View, videos: np.ndarray, scores: np.ndarray, inverse_temperature: float
) -> np.ndarray:
    """Compute what a bank's scores subtract from videos: (n,), (Q, n) -> (n,) of ``CORRECTION``.

    None of them is a hub candidate yet.
    """
    table = np.zeros(len(videos), CORRECTION)
    for name in ('key', 'time_ns'):
        table[name] = view.videos[name][videos]
    table['attraction'] = soft_maximum([scores], inverse_temperature)
    return table
