"""Checks and block-wise access of similarity matrices, shared by the evaluation modules."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

BLOCK_ELEMENTS = 2**22  # a few temporaries of this size stay far below the matrix itself


def as_scores(similarity: Any, name: str = 'similarity') -> np.ndarray:
    """Return a (texts, videos) matrix as a NumPy array of at least single precision.

    Args:
        similarity: NumPy array, tensor or nested lists.
        name: How messages call the matrix.

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
    if scores.shape[0] == 0:
        raise ValueError(f'{name} has no texts: its shape is {scores.shape}')
    if scores.shape[1] == 0:
        raise ValueError(f'{name} has no videos: its shape is {scores.shape}')
    if scores.dtype.kind != 'f':
        return scores.astype(np.float64)
    return scores.astype(np.float32) if scores.dtype.itemsize < 4 else scores


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield slices that cut the rows of a matrix into blocks of bounded size."""
    rows, columns = shape
    step = max(1, BLOCK_ELEMENTS // columns)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def reject(
    scores: np.ndarray,
    is_bad: Callable[[np.ndarray], np.ndarray],
    what: str,
    name: str = 'similarity',
) -> None:
    """Raise if any entry is bad, with the number of such entries and the place of the first.

    Args:
        scores: Matrix with texts as rows.
        is_bad: Maps a block of rows to a boolean array.
        what: How the message calls such an entry.
        name: How the message calls the matrix.

    Raises:
        ValueError: If ``is_bad`` holds anywhere.
    """
    count, first = 0, None
    for rows in row_blocks(scores.shape):
        bad = is_bad(scores[rows])
        found = int(np.count_nonzero(bad))
        if found and first is None:
            text, video = np.argwhere(bad)[0]
            first = (rows.start + int(text), int(video))
        count += found
    if first is not None:
        raise ValueError(
            f'{name} has {count} {what} value(s) among {scores.size}, '
            f'the first at text {first[0]}, video {first[1]}'
        )
