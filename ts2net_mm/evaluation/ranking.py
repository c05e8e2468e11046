"""Ranks and recalls of text-video retrieval from a similarity matrix."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

__all__ = [
    'DIRECTIONS',
    'METRIC_NAMES',
    'as_matrix',
    'check_finite',
    'check_scores',
    'direction_metrics',
    'retrieval_metrics',
    'row_blocks',
    'text_to_video_ranks',
]

RECALL_AT = (1, 5, 10, 50)
METRIC_NAMES = (*(f'R{k}' for k in RECALL_AT), 'MdR', 'MnR')
DIRECTIONS = ('t2v', 'v2t')
BLOCK_ELEMENTS = 2**22  # a few temporaries of this size are far smaller than the matrix itself


def retrieval_metrics(similarity: Any, video_of_text: Any) -> dict[str, float]:
    """Measure text-to-video and video-to-text retrieval.

    Text to video: the rank of a text is the number of videos that score at least as high as its
    own. Video to text: each video is represented by its best caption, and the rank of a video is
    the number of videos whose captions score at least as high as its own. So ties count against
    the model. A video without captions is a candidate for every text, but neither a query nor a
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
    return direction_metrics(scores, owners, 't2v') | direction_metrics(scores, owners, 'v2t')


def direction_metrics(
    scores: np.ndarray, owners: np.ndarray, direction: str, suffix: str = ''
) -> dict[str, float]:
    """Rank one direction of checked scores.

    Args:
        scores: What `check_scores` returned, or a matrix without NaN made from it.
        owners: The column of the right video of each text.
        direction: ``'t2v'`` or ``'v2t'``.
        suffix: Appended to the direction in the keys.
    """
    rank = text_to_video_ranks if direction == 't2v' else _video_to_text_ranks
    ranks = rank(scores, owners)
    values = [100.0 * int(np.sum(ranks <= k)) / len(ranks) for k in RECALL_AT]
    values += [float(np.median(ranks)), float(np.mean(ranks))]
    return {
        f'{direction}{suffix}/{name}': value
        for name, value in zip(METRIC_NAMES, values, strict=True)
    }


def text_to_video_ranks(scores: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Return the 1-based rank of each text's own video, the last place among ties: (N,)."""
    ranks = np.empty(len(scores), dtype=np.int64)
    for rows in row_blocks(scores.shape):
        block = scores[rows]
        own = np.take_along_axis(block, owners[rows, None], axis=1)
        ranks[rows] = np.count_nonzero(block >= own, axis=1)
    return ranks


def _video_to_text_ranks(scores: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Return the 1-based rank of each video that has captions, the last place among ties."""
    # Captions of a video become neighbours, so that one reduceat finds the best of each video.
    order = np.argsort(owners, kind='stable')
    videos, starts = np.unique(owners[order], return_index=True)
    is_sorted = bool(np.all(order[1:] > order[:-1]))
    group_of_video = np.zeros(scores.shape[1], dtype=np.int64)
    group_of_video[videos] = np.arange(len(videos))

    ranks = np.empty(scores.shape[1], dtype=np.int64)
    for columns in row_blocks(scores.shape[::-1]):
        block = scores[:, columns] if is_sorted else scores[order, columns]  # the latter copies
        best = np.maximum.reduceat(block, starts, axis=0)  # (N, m) -> (videos with captions, m)
        own = np.take_along_axis(best, group_of_video[None, columns], axis=0)
        ranks[columns] = np.count_nonzero(best >= own, axis=0)
    return ranks[videos]


def check_scores(similarity: Any, video_of_text: Any) -> tuple[np.ndarray, np.ndarray]:
    """Validate the two inputs of `retrieval_metrics` and return them as NumPy arrays.

    Raises:
        ValueError: see `retrieval_metrics`.
    """
    scores = as_matrix(similarity)
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
        raise ValueError('there is only one video: a rank among one candidate means nothing')
    if owners.min() == owners.max():
        raise ValueError(
            f'only video {owners[0]} of {num_videos} has captions: '
            'a video-to-text rank among the captions of one video means nothing'
        )
    check_finite(scores, allow_infinite=True)
    return scores, owners.astype(np.int64, copy=False)


def as_matrix(similarity: Any, name: str = 'similarity') -> np.ndarray:
    """Return a (texts, videos) matrix as a NumPy array of at least single precision.

    Args:
        similarity: NumPy array, tensor or nested lists.
        name: What messages call the matrix.

    Raises:
        ValueError: If it is not a matrix of real numbers, or has no row or no column.
    """
    if isinstance(similarity, torch.Tensor):
        similarity = similarity.detach().cpu()
        if similarity.dtype in (torch.float16, torch.bfloat16):
            similarity = similarity.float()
        similarity = similarity.numpy()
    scores = np.asarray(similarity)
    if scores.ndim != 2:
        raise ValueError(f'{name} must be (texts, videos), got the shape {scores.shape}')
    if scores.dtype.kind not in 'fiu':
        raise ValueError(f'{name} must hold real numbers, got the dtype {scores.dtype}')
    for count, what in zip(scores.shape, ('texts', 'videos'), strict=True):
        if count == 0:
            raise ValueError(f'{name} has no {what}: its shape is {scores.shape}')
    if scores.dtype.kind != 'f':
        return scores.astype(np.float64)
    return scores.astype(np.float32) if scores.dtype.itemsize < 4 else scores


def check_finite(
    scores: np.ndarray, name: str = 'similarity', *, allow_infinite: bool = False
) -> None:
    """Raise on NaN and infinite entries, with their number and the place of the first.

    Args:
        scores: Matrix with texts as rows.
        name: What the message calls the matrix.
        allow_infinite: Raise on NaN alone.

    Raises:
        ValueError: If there are any.
    """
    count, first = 0, (0, 0)
    for rows in row_blocks(scores.shape):
        bad = np.isnan(scores[rows]) if allow_infinite else ~np.isfinite(scores[rows])
        if bad.any():
            if not count:
                text, video = np.argwhere(bad)[0]
                first = rows.start + int(text), int(video)
            count += int(np.count_nonzero(bad))
    if count:
        raise ValueError(
            f'{name} has {count} {"NaN" if allow_infinite else "NaN or infinite"} value(s) among '
            f'{scores.size}, the first at text {first[0]}, video {first[1]}'
        )


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield slices that cut the rows of a matrix into blocks of bounded size."""
    rows, columns = shape
    step = max(1, BLOCK_ELEMENTS // columns)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
