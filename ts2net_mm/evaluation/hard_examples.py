"""Find the test pairs that a model gets most wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .ranking import check_scores, text_to_video_ranks
from .scores import reject, row_blocks

__all__ = ['ConfusedPair', 'WorstText', 'most_confused_pairs', 'worst_ranked_texts']


@dataclass(frozen=True)
class WorstText:
    """A text whose video comes late.

    Args:
        text: Row.
        rank: Rank of its own video, from 1.
        best_videos: Columns that score best, best first.
    """

    text: int
    rank: int
    best_videos: Sequence[int]


@dataclass(frozen=True)
class ConfusedPair:
    """Two videos that take each other's texts.

    Args:
        videos: Two columns, the smaller first.
        excess: How much higher the texts of each score with the other one than with their own
            video, the mean of both sides; above 0 the model would swap them.
    """

    videos: tuple[int, int]
    excess: float


def worst_ranked_texts(
    similarity: np.ndarray, video_of_text: np.ndarray, *, count: int, num_best: int = 3
) -> list[WorstText]:
    """List the texts with the largest ranks, the largest first; texts ranked first never count.

    Among equal ranks the text comes first that misses its video by most.

    Args:
        similarity: Scores; see `retrieval_metrics`.
        video_of_text: The column of the right video of each text.
        count: Most texts to list.
        num_best: Most videos to name with each.

    Shape:
        similarity: (N, M); video_of_text: (N,).

    Raises:
        ValueError: If the scores cannot be ranked or are not finite.
    """
    scores, owners = _check(similarity, video_of_text)
    ranks = text_to_video_ranks(scores, owners)
    own = scores[np.arange(len(scores)), owners]
    misses = scores.max(axis=1) - own
    order = np.lexsort((-misses, -ranks))[:count]
    return [
        WorstText(
            text=int(text),
            rank=int(ranks[text]),
            best_videos=np.argsort(-scores[text], kind='stable')[:num_best].tolist(),
        )
        for text in order
        if ranks[text] > 1
    ]


def most_confused_pairs(
    similarity: np.ndarray, video_of_text: np.ndarray, *, count: int
) -> list[ConfusedPair]:
    """List the pairs of videos whose texts tell them apart least, the worst first.

    Of a video with several texts the mean of their scores counts. Videos without texts are left
    out.

    Args:
        similarity: Scores; see `retrieval_metrics`.
        video_of_text: The column of the right video of each text.
        count: Most pairs to list.

    Shape:
        similarity: (N, M); video_of_text: (N,).

    Raises:
        ValueError: If the scores cannot be ranked or are not finite.
    """
    scores, owners = _check(similarity, video_of_text)
    order = np.argsort(owners, kind='stable')
    videos, starts, sizes = np.unique(owners[order], return_index=True, return_counts=True)
    means = np.empty((len(videos), len(videos)))
    for columns in row_blocks((len(videos), len(scores))):
        block = scores[:, videos[columns]][order]
        totals = np.add.reduceat(block, starts, axis=0, dtype=np.float64)
        means[:, columns] = totals / sizes[:, None]
    excess = means - np.diag(means)[:, None]
    excess = (excess + excess.T) / 2
    first, second = np.triu_indices(len(videos), k=1)
    worst = np.argsort(-excess[first, second], kind='stable')[:count]
    return [
        ConfusedPair(
            videos=(int(videos[first[index]]), int(videos[second[index]])),
            excess=float(excess[first[index], second[index]]),
        )
        for index in worst
    ]


def _check(similarity: np.ndarray, video_of_text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, owners = check_scores(similarity, video_of_text)
    reject(scores, lambda block: ~np.isfinite(block), 'NaN or infinite')
    return scores, owners
