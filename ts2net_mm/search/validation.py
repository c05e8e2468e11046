"""Judge a calibration with sentences whose right videos are known, and choose thresholds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .bank_scores import score_videos
from .calibration import Calibration, Threshold, Validation
from .index import VideoIndex, as_queries
from .view import View

__all__ = ['KEEP', 'ValidationSet', 'validate']

KEEP = 0.95  # of the right videos


@dataclass(frozen=True)
class ValidationSet:
    """Sentences, and the videos of an index that each describes.

    Args:
        source: The name of their file.
        right: Numbers of the right videos by sentence.
        missing: Names of videos that the index does not have.
    """

    source: str
    right: Mapping[str, Sequence[int]]
    missing: Sequence[str]

    @property
    def num_videos(self) -> int:
        """Number of videos that are described."""
        return len({video for videos in self.right.values() for video in videos})


def validate(
    index: VideoIndex,
    calibration: Calibration,
    queries: np.ndarray,
    validation: ValidationSet,
    *,
    keep: float = KEEP,
    view: View | None = None,
) -> Validation:
    """Compare searches with and without a calibration, and choose a threshold for each.

    A threshold is the largest that the share ``keep`` of the sentences' right videos reach. Without
    its right videos, a sentence fits no video of the index, and it is rejected if none of the
    others reaches the threshold.

    Args:
        index: The index.
        calibration: The calibration, with all videos of the view.
        queries: Features of the sentences, in the order of ``validation.right``.
        validation: The sentences and their right videos.
        keep: Share of the right videos that the thresholds keep, above 0 and at most 1.
        view: The videos; by default all that are committed now.

    Shape:
        queries: (Q, D)

    Raises:
        ValueError: If ``keep`` is out of range, there is no other video, or queries have another
            shape or are not finite.
        DamagedIndexError: If a checksum of what is read is wrong.
    """
    if not 0 < keep <= 1:
        raise ValueError(f'keep={keep} is not a share above 0 and at most 1')
    view = view or index.store.view()
    queries = as_queries(queries, 1, index.description.layout.dims)
    corrections = replace(calibration, dynamic=True).corrections(view)
    best = _BestScores(validation, len(queries))
    for numbers, scores in score_videos(
        view, index.score, queries, np.flatnonzero(view.is_encoded)
    ):
        best.add(numbers, scores, corrections.attractions[numbers])
    if not np.isfinite(best.others[0]).all():
        raise ValueError('a sentence describes all videos of the index: there is no wrong one')
    is_right = best.right > best.others  # plain and calibrated: (2, Q)
    first = np.where(is_right[0], best.right_video, best.other_video)
    found = dict(
        plain=is_right[0],
        dynamic=np.where(corrections.changes[first], is_right[1], is_right[0]),
        always=is_right[1],
    )
    plain, calibrated = (
        _choose_threshold(right, others, keep)
        for right, others in zip(best.right, best.others, strict=True)
    )
    return Validation(
        source=validation.source,
        num_queries=len(queries),
        num_videos=validation.num_videos,
        recall={name: 100 * float(hits.mean()) for name, hits in found.items()},
        plain=plain,
        calibrated=calibrated,
    )


class _BestScores:
    """The best right and the best other video of each sentence, while scores come in blocks.

    Attributes:
        right: Best score and calibrated score of a right video, (2, Q).
        others: Those of another video, (2, Q).
        right_video: The right video with the best score, (Q,).
        other_video: The other one, (Q,).
    """

    def __init__(self, validation: ValidationSet, num_queries: int) -> None:
        self.right = np.full((2, num_queries), -np.inf)
        self.others = np.full((2, num_queries), -np.inf)
        self.right_video = np.zeros(num_queries, np.int64)
        self.other_video = np.zeros(num_queries, np.int64)
        self._queries_of: dict[int, list[int]] = defaultdict(list)
        for query, videos in enumerate(validation.right.values()):
            for video in videos:
                self._queries_of[video].append(query)

    def add(self, numbers: np.ndarray, scores: np.ndarray, attractions: np.ndarray) -> None:
        """Add the scores of more videos: (n,), (Q, n), (n,)."""
        is_right = np.zeros(scores.shape, bool)
        for column, number in enumerate(numbers.tolist()):
            is_right[self._queries_of[number], column] = True
        for best, video, chosen in (
            (self.right, self.right_video, is_right),
            (self.others, self.other_video, ~is_right),
        ):
            plain = np.where(chosen, scores, -np.inf)
            is_better = plain.max(axis=1) > best[0]
            video[is_better] = numbers[plain.argmax(axis=1)[is_better]]
            for row, values in zip(best, (plain, plain - attractions), strict=True):
                np.maximum(row, values.max(axis=1), out=row)


def _choose_threshold(right: np.ndarray, others: np.ndarray, keep: float) -> Threshold:
    """Return the largest threshold that a share of the right videos reach, and its rates."""
    needed = math.ceil(keep * len(right) - 1e-9)  # 0.95 * 20 is 19, whatever its rounding
    value = float(np.sort(right)[len(right) - needed])
    return Threshold(value, float((right >= value).mean()), float((others < value).mean()))
