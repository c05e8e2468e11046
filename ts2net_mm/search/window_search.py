"""Score the windows of an index that may be among the best for a query, until these are certain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np

from .bound import Score, ScoredFrames, Summary, dot_error
from .calibration import Corrections
from .records import DamagedIndexError
from .results import Hit, Moment, SearchResult
from .view import StoredVideo

__all__ = ['WindowSearch', 'Windows']

SEEDS_PER_HIT = 8  # windows that are scored first, by the products alone
# windows that are scored before the best are looked at again: a share of those that are scored, so
# that the time grows with their number alone
FIRST_STEP, STEP_SHARE = 128, 0.25
FRAMES_AT_A_TIME = 128  # windows; 6 MB in double precision, which fits into a cache


class Windows(Protocol):
    """Windows among which to search; see `View`."""

    num_frames: int
    starts: np.ndarray
    ends: np.ndarray
    summary: Summary
    video_of_window: np.ndarray

    def video(self, number: int) -> StoredVideo:
        """Describe a video by its number."""
        ...

    def windows_of(self, number: int) -> Sequence[int] | np.ndarray:
        """Return the numbers of the windows of a video."""
        ...

    def read_frames(self, windows: np.ndarray) -> np.ndarray:
        """Read the frames of windows: records of ``layout.record``."""
        ...


class WindowSearch:
    """The search for one query.

    Args:
        view: The windows.
        score: The score.
        query: The query, of length 1.
        products: Products of the query and the means of the windows, single precision.
        is_live: Whether a window may be found.
        corrections: What a calibration subtracts from the scores of videos, and for which best
            videos.

    Shape:
        query: (D,), products: (N,), is_live: (N,)
    """

    def __init__(
        self,
        view: Windows,
        score: Score,
        query: np.ndarray,
        products: np.ndarray,
        is_live: np.ndarray,
        corrections: Corrections | None = None,
    ) -> None:
        self.view = view
        self.score = score
        self.query = query
        self.corrections = corrections
        self.subtracted: np.ndarray | None = None  # from the scores of each video, to rank it
        self.products = np.where(is_live, products, -np.inf)
        self.promise = self.products  # what the number that ranks a window may be expected to be
        _, upper = score.bounds(products, view.summary, dot_error(len(query)))
        self.upper = np.where(is_live, upper, -np.inf)  # that of a scored window is -inf, too
        empty = np.empty(0, np.int64), np.empty(0), np.empty((0, view.num_frames))
        self.scored = _Scored(empty[0], empty[0], empty[1], empty[1], empty[2], empty[2])

    def run(self, topk: int, max_candidates: int, num_moments: int) -> SearchResult:
        """Score candidates until the best are certain, and collect the hits."""
        is_certain, is_calibrated = True, False
        if self.corrections is not None:
            is_certain = self._find_best(1, max_candidates)
            is_calibrated = bool(self.corrections.changes[self.scored.best_videos()[:1]].any())
            if is_calibrated:
                self._calibrate(self.corrections.attractions)
        is_certain = self._find_best(topk, max_candidates) and is_certain
        hits = self._hits(topk, num_moments)
        return SearchResult(hits, is_certain, len(self.scored.windows), is_calibrated=is_calibrated)

    def _find_best(self, topk: int, max_candidates: int) -> bool:
        """Score candidates until the best videos are certain, and tell whether they are."""
        most = min(SEEDS_PER_HIT * topk, max_candidates - len(self.scored.windows))
        seeds = _largest(self.promise, most)
        self._add(seeds[self.upper[seeds] > -np.inf])
        candidates = np.arange(len(self.upper))
        while True:
            threshold = self.scored.threshold(topk)
            candidates = candidates[self.upper[candidates] > threshold]
            left = max_candidates - len(self.scored.windows)
            if not len(candidates) or left <= 0:
                break
            size = max(FIRST_STEP, int(STEP_SHARE * len(self.scored.windows)))
            if len(candidates) <= left:
                part = candidates[_largest(self.upper[candidates], size)]
            else:  # not all of them can be scored: the likeliest
                part = candidates[_largest(self.promise[candidates], min(size, left))]
            self._add(part)
        return not len(candidates)

    def _calibrate(self, attractions: np.ndarray) -> None:
        """Rank by scores from which that of the bank is subtracted.

        All windows of a video have the same subtracted, so that a bound of the score is one of the
        difference, rounding included.
        """
        of_window = attractions[self.view.video_of_window]
        self.promise = self.promise - of_window
        self.upper = self.upper - of_window
        scored = self.scored
        self.scored = replace(scored, ranked_by=scored.scores - attractions[scored.videos])
        self.subtracted = attractions

    def _add(self, windows: np.ndarray) -> None:
        """Score windows."""
        parts = [self.scored]
        for first in range(0, len(windows), FRAMES_AT_A_TIME):
            part = np.sort(windows[first : first + FRAMES_AT_A_TIME])
            records = self.view.read_frames(part)
            num_frames = self.view.summary.num_frames[part]
            cosines = records['frames'].astype(np.float64) @ self.query
            cosines[np.arange(cosines.shape[1]) >= num_frames[:, None]] = np.nan
            self._check_means(part, cosines)
            mean_norm = self.view.summary.mean_norm[part]
            frames = ScoredFrames(
                cosines, records['frames'], records['norms'], num_frames, mean_norm
            )
            scores = self.score.exact(self.query, frames)
            videos = self.view.video_of_window[part]
            ranked_by = scores if self.subtracted is None else scores - self.subtracted[videos]
            parts.append(_Scored(part, videos, scores, ranked_by, cosines, records['seconds']))
            self.upper[part] = -np.inf
        self.scored = _Scored.join(parts)

    def _check_means(self, windows: np.ndarray, cosines: np.ndarray) -> None:
        """Raise if the mean of a window is not that of its frames."""
        error = np.abs(np.nanmean(cosines, axis=1) - self.products[windows])
        if error.max(initial=0) > (tolerance := 2 * dot_error(len(self.query))):
            window = int(windows[np.argmax(error > tolerance)])
            path = self.view.video(int(self.view.video_of_window[window])).path
            raise DamagedIndexError(f'the index is damaged: a mean of {path} is wrong')

    def _hits(self, topk: int, num_moments: int) -> list[Hit]:
        """Describe the best videos, with the moments of each."""
        videos = self.scored.best_videos()[:topk]
        likely = [np.empty(0, np.int64)]
        for video in videos.tolist():
            windows = np.array(self.view.windows_of(video))
            likely.append(windows[_largest(self.products[windows], SEEDS_PER_HIT * num_moments)])
        windows = np.concatenate(likely)
        self._add(windows[self.upper[windows] > -np.inf])
        hits = []
        for rank, number in enumerate(self.scored.best_videos()[:topk].tolist(), start=1):
            moments = self._moments(number, num_moments)
            video = self.view.video(number)
            duration = None if math.isnan(video.duration) else video.duration
            score, calibrated = moments[0].score, None
            if self.corrections is not None:
                calibrated = score - float(self.corrections.attractions[number])
            hits.append(Hit(rank, score, video.path, duration, moments, calibrated))
        return hits

    def _moments(self, video: int, num_moments: int) -> list[Moment]:
        """Return the best windows of a video that do not overlap a better one."""
        rows = np.flatnonzero(self.scored.videos == video)
        moments: list[Moment] = []
        for row in rows[np.argsort(-self.scored.scores[rows], kind='stable')]:
            window = self.scored.windows[row]
            start, end = float(self.view.starts[window]), float(self.view.ends[window])
            if all(end <= other.start or other.end <= start for other in moments):
                moments.append(self._moment(row, start, end))
            if len(moments) == num_moments:
                break
        return moments

    def _moment(self, row: int, start: float, end: float) -> Moment:
        count = int(self.view.summary.num_frames[self.scored.windows[row]])
        cosines = self.scored.cosines[row, :count]
        seconds = self.scored.seconds[row, :count]
        best = float(seconds[np.argmax(cosines)])
        return Moment(
            score=float(self.scored.scores[row]),
            start=start,
            end=end,
            best_seconds=None if math.isnan(best) else best,
            frame_scores=cosines.tolist(),
            frame_seconds=seconds.tolist(),
        )


@dataclass(frozen=True, eq=False)
class _Scored:
    """Windows whose frames were read: N windows of T frames."""

    windows: np.ndarray
    videos: np.ndarray
    scores: np.ndarray
    ranked_by: np.ndarray  # the scores, or the calibrated scores
    cosines: np.ndarray
    seconds: np.ndarray

    @classmethod
    def join(cls, parts: Sequence[_Scored]) -> _Scored:
        columns = ([getattr(part, field.name) for part in parts] for field in fields(cls))
        return cls(*map(np.concatenate, columns))

    def best_videos(self) -> np.ndarray:
        """Return the videos, the best first; of equal ones the earlier."""
        order = np.lexsort((self.windows, -self.ranked_by))
        _, first = np.unique(self.videos[order], return_index=True)
        return self.videos[order][np.sort(first)]

    def threshold(self, topk: int) -> float:
        """Return the number that ranks the k-th video, -inf if there are fewer."""
        order = np.argsort(-self.ranked_by)
        _, first = np.unique(self.videos[order], return_index=True)
        if len(first) < topk:
            return -np.inf
        return float(self.ranked_by[order[np.sort(first)[topk - 1]]])


def _largest(values: np.ndarray, number: int) -> np.ndarray:
    """Return the places of the largest values, in any order."""
    if number >= len(values):
        return np.arange(len(values))
    if number <= 0:
        return np.empty(0, np.int64)
    return np.argpartition(values, len(values) - number)[len(values) - number :]
