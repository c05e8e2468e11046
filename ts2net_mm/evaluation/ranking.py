"""Ranks and recalls of text-video retrieval from a similarity matrix."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from .tiles import DIRECTIONS, Observer, Read, rank_tiles, read_matrix

__all__ = [
    'METRIC_NAMES',
    'as_matrix',
    'check_finite',
    'check_owners',
    'check_scores',
    'measure_ranks',
    'retrieval_metrics',
    'row_blocks',
    'text_to_video_ranks',
]

RECALL_AT = (1, 5, 10, 50)
METRIC_NAMES = (*(f'R{k}' for k in RECALL_AT), 'MdR', 'MnR')
BLOCK_ELEMENTS = 2**20  # a few temporaries of this size are far smaller than the matrix itself


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
    return measure_ranks(read_matrix(scores), owners, scores.shape[1])


def measure_ranks(
    read: Read,
    owners: np.ndarray,
    num_videos: int,
    *,
    directions: Sequence[str] = DIRECTIONS,
    suffix: str = '',
    observers: Sequence[Observer] = (),
) -> dict[str, float]:
    """Compute the metrics of scores that are read tile by tile and hold no NaN.

    Args:
        read: Gives a tile.
        owners: What `check_owners` returned.
        num_videos: How many there are.
        directions: Which of ``'t2v'`` and ``'v2t'`` to rank.
        suffix: Appended to the direction in the keys.
        observers: What else looks at the tiles.
    """
    ranks = rank_tiles(read, owners, num_videos, directions=directions, observers=observers)
    metrics: dict[str, float] = {}
    for direction, places in ranks.items():
        values = [100.0 * int(np.sum(places <= k)) / len(places) for k in RECALL_AT]
        values += [float(np.median(places)), float(np.mean(places))]
        names = (f'{direction}{suffix}/{name}' for name in METRIC_NAMES)
        metrics |= dict(zip(names, values, strict=True))
    return metrics


def text_to_video_ranks(scores: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Return the 1-based rank of each text's own video, the last place among ties: (N,)."""
    return rank_tiles(read_matrix(scores), owners, scores.shape[1], directions=('t2v',))['t2v']


def check_scores(similarity: Any, video_of_text: Any) -> tuple[np.ndarray, np.ndarray]:
    """Validate the two inputs of `retrieval_metrics` and return them as NumPy arrays.

    Raises:
        ValueError: see `retrieval_metrics`.
    """
    scores = as_matrix(similarity)
    owners = check_owners(video_of_text, *scores.shape)
    check_finite(scores, allow_infinite=True)
    return scores, owners


def check_owners(video_of_text: Any, num_texts: int, num_videos: int) -> np.ndarray:
    """Validate the column of the right video of each text, and return it as a NumPy array.

    Raises:
        ValueError: see `retrieval_metrics`.
    """
    if isinstance(video_of_text, torch.Tensor):
        video_of_text = video_of_text.detach().cpu().numpy()
    owners = np.asarray(video_of_text)
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
    return owners.astype(np.int64, copy=False)


def as_matrix(similarity: Any, name: str = 'similarity') -> np.ndarray:
    """Return a (texts, videos) matrix as a NumPy array of single or double precision.

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
    is_single = scores.dtype.kind == 'f' and scores.dtype.itemsize <= 4
    # A view that PyTorch shares too: the byte order of the machine, no negative strides, writable
    return np.require(scores, np.float32 if is_single else np.float64, ['C', 'W'])


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
