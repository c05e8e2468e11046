"""Ranks and recalls of text-video retrieval from a similarity matrix."""

from typing import Any

import numpy as np
import torch

from .scores import as_scores, reject, row_blocks

RECALL_AT = (1, 5, 10, 50)
METRIC_NAMES = (*(f'R{k}' for k in RECALL_AT), 'MdR', 'MnR')
DIRECTIONS = ('t2v', 'v2t')


def retrieval_metrics(similarity: Any, video_of_text: Any) -> dict[str, float]:
    """Measure text-to-video and video-to-text retrieval.

    Text to video: the rank of a text is the number of videos that score at least as high as its
    own. Video to text: the captions of a video count by the best one of them, and the rank of a
    video is the number of videos whose captions score at least as high as its own. So ties count
    against the model. A video without captions is a candidate for every text, but no query and no
    candidate in the other direction. Infinite scores are ordered like any other.

    Args:
        similarity: Scores, higher is better; NumPy array or tensor of any device.
        video_of_text: The column of the right video of each text.

    Shape:
        similarity: (N, M), texts as rows; video_of_text: (N,) integers in [0, M).

    Returns:
        ``{t2v,v2t}/{R1,R5,R10,R50}`` in percent, ``{t2v,v2t}/{MdR,MnR}`` as ranks that start at 1.

    Raises:
        ValueError: On NaN, on shapes or indices that do not fit, on empty input, and on fewer than
            two videos with captions, where a rank means nothing.

    Example:
        >>> import numpy as np
        >>> scores = np.array([[0.9, 0.1], [0.8, 0.3], [0.2, 0.7]])  # two captions, then one
        >>> metrics = retrieval_metrics(scores, [0, 0, 1])
        >>> metrics['t2v/R1'], metrics['v2t/MnR']
        (100.0, 1.0)
    """
    scores, owners = check_scores(similarity, video_of_text)
    ranks = {'t2v': text_to_video_ranks(scores, owners), 'v2t': video_to_text_ranks(scores, owners)}
    return {
        f'{direction}/{name}': value
        for direction in DIRECTIONS
        for name, value in summarize_ranks(ranks[direction]).items()
    }


def check_scores(similarity: Any, video_of_text: Any) -> tuple[np.ndarray, np.ndarray]:
    """Validate the two inputs of `retrieval_metrics` and return them as NumPy arrays.

    Raises:
        ValueError: see `retrieval_metrics`.
    """
    scores = as_scores(similarity)
    if isinstance(video_of_text, torch.Tensor):
        video_of_text = video_of_text.detach().cpu().numpy()
    owners = np.asarray(video_of_text)
    num_texts, num_videos = scores.shape
    if owners.shape != (num_texts,):
        raise ValueError(
            f'video_of_text must name one video for each of the {num_texts} texts, '
            f'got the shape {owners.shape}'
        )
    if owners.dtype.kind not in 'iu':
        raise ValueError(f'video_of_text must hold integers, got the dtype {owners.dtype}')
    outside = np.flatnonzero((owners < 0) | (owners >= num_videos))
    if outside.size:
        raise ValueError(
            f'video_of_text[{outside[0]}] is {owners[outside[0]]}, '
            f'but there are {num_videos} videos, numbered from 0'
        )
    if num_videos == 1:
        raise ValueError('there is one video only: a rank among one candidate means nothing')
    if owners.min() == owners.max():
        raise ValueError(
            f'only video {owners[0]} of {num_videos} has captions: '
            'a video-to-text rank among the captions of one video means nothing'
        )
    reject(scores, np.isnan, 'NaN')
    return scores, owners.astype(np.int64)


def text_to_video_ranks(scores: np.ndarray, video_of_text: np.ndarray) -> np.ndarray:
    """Return the 1-based rank of each text's own video, the lowest place among ties.

    Shape:
        scores: (N, M); video_of_text: (N,); result: (N,).
    """
    ranks = np.empty(len(scores), dtype=np.int64)
    for rows in row_blocks(scores.shape):
        block = scores[rows]
        own = np.take_along_axis(block, video_of_text[rows, None], axis=1)
        ranks[rows] = np.count_nonzero(block >= own, axis=1)
    return ranks


def video_to_text_ranks(scores: np.ndarray, video_of_text: np.ndarray) -> np.ndarray:
    """Return the 1-based rank of each video's own captions, the lowest place among ties.

    Shape:
        scores: (N, M); video_of_text: (N,); result: (videos with captions,), in order.
    """
    order = np.argsort(video_of_text, kind='stable')
    videos, starts = np.unique(video_of_text[order], return_index=True)
    is_sorted = bool(np.all(order[1:] > order[:-1]))
    group_of_video = np.zeros(scores.shape[1], dtype=np.int64)
    group_of_video[videos] = np.arange(len(videos))

    ranks = np.empty(scores.shape[1], dtype=np.int64)
    for columns in row_blocks(scores.shape[::-1]):
        block = scores[:, columns] if is_sorted else scores[order, columns]
        best = np.maximum.reduceat(block, starts, axis=0)  # (N, m) -> (caption groups, m)
        own = np.take_along_axis(best, group_of_video[None, columns], axis=0)
        ranks[columns] = np.count_nonzero(best >= own, axis=0)
    return ranks[videos]


def summarize_ranks(ranks: np.ndarray) -> dict[str, float]:
    """Turn 1-based ranks into recalls in percent, the median and the mean rank."""
    summary = {f'R{k}': 100.0 * int(np.sum(ranks <= k)) / len(ranks) for k in RECALL_AT}
    summary['MdR'] = float(np.median(ranks))
    summary['MnR'] = float(np.mean(ranks))
    return summary
