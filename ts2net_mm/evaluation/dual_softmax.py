"""Inverted softmax, also called dual softmax: queries compete for each candidate."""

from typing import Any

import numpy as np

from .ranking import DIRECTIONS
from .scores import as_scores, reject, row_blocks


def inverted_softmax(similarity: Any, direction: str = 't2v') -> np.ndarray:
    """Weight every score by the share of its candidate that its query gets.

    The result is ``similarity * softmax(similarity over the queries)``. Text to video: over the
    texts, as the released code does. Video to text: over the videos, for each caption by itself;
    the best caption of a group is taken after the weighting. (Over the texts, as in the released
    code, it would change no rank.) Every row and every column counts as a query, and all queries
    must be known, so these numbers do not compare with plain ones.

    Scores are used as they are, so logits keep their scale. Shrinking a negative score raises it:
    use this on logits whose good matches are positive. Scores more than about 100 below the best
    query of their candidate become zero in single precision, and then tie.

    Args:
        similarity: Finite logits; NumPy array or tensor of any device.
        direction: ``'t2v'`` or ``'v2t'``.

    Shape:
        similarity: (N, M) -> (N, M), texts as rows in both directions, of the same float type (half
        precision becomes single).

    Raises:
        ValueError: On an unknown direction, on values that are not finite, on what is not a matrix.

    Example:
        >>> import numpy as np
        >>> scores = np.array([[9.0, 1.0], [5.0, 4.0]])  # video 0 attracts both texts
        >>> scores.argmax(axis=1).tolist(), inverted_softmax(scores, 't2v').argmax(axis=1).tolist()
        ([0, 0], [0, 1])
    """
    if direction not in DIRECTIONS:
        raise ValueError(f'direction must be one of {DIRECTIONS}, got {direction!r}')
    scores = as_scores(similarity)
    reject(scores, lambda block: ~np.isfinite(block), 'NaN or infinite')
    if direction == 't2v':
        return _weight_by_row_share(scores)
    return _weight_by_row_share(scores.T).T


def _weight_by_row_share(scores: np.ndarray) -> np.ndarray:
    """Multiply a (queries, candidates) matrix by its softmax over the queries."""
    top = scores.max(axis=0)
    total = np.zeros(scores.shape[1])
    for rows in row_blocks(scores.shape):
        total += np.exp(np.subtract(scores[rows], top, dtype=np.float64)).sum(axis=0)
    weighted = np.empty_like(scores)
    for rows in row_blocks(scores.shape):
        share = np.exp(np.subtract(scores[rows], top, dtype=np.float64)) / total
        weighted[rows] = scores[rows] * share
    return weighted
