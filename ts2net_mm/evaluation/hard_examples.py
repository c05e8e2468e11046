"""Find the test pairs that a model gets most wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .ranking import check_finite, check_scores, row_blocks, text_to_video_ranks

__all__ = ['ConfusedPair', 'WorstText', 'most_confused_pairs', 'worst_ranked_texts']


@dataclass(frozen=True)
class WorstText:
    """A text whose video is ranked low.

    Args:
        text: Row.
        rank: Rank of its own video, from 1.
        best_videos: Columns with the highest scores, highest first.
    """

    text: int
    rank: int
    best_videos: Sequence[int]


@dataclass(frozen=True)
class ConfusedPair:
    """Two videos that attract each other's texts.

    Args:
        videos: Two columns, the smaller first.
        excess: How much higher the texts of each score with the other video than with their own,
            the mean of both sides; above 0 the model would swap them.
    """

    videos: tuple[int, int]
    excess: float


def worst_ranked_texts(
    similarity: np.ndarray, video_of_text: np.ndarray, *, count: int, num_best: int = 3
) -> list[WorstText]:
    """List the texts with the largest ranks, the largest first; texts ranked first never count.

    Equal ranks are ordered by the margin to the best video, the largest margin first.

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
    scores, owners = check_scores(similarity, video_of_text)
    check_finite(scores)
    ranks = text_to_video_ranks(scores, owners)
    margins = scores.max(axis=1) - scores[np.arange(len(scores)), owners]
    order = np.lexsort((-margins, -ranks))[:count]
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
    """List the pairs of videos that the model separates worst by their texts, the worst first.

    The scores of a video's texts are averaged. Videos without texts are ignored.

    Args:
        similarity: Scores; see `retrieval_metrics`.
        video_of_text: The column of the right video of each text.
        count: Most pairs to list.

    Shape:
        similarity: (N, M); video_of_text: (N,).

    Raises:
        ValueError: If the scores cannot be ranked or are not finite.
    """
    scores, owners = check_scores(similarity, video_of_text)
    check_finite(scores)
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
