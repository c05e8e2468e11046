"""Querybank normalisation with the dynamic inverted softmax (Bogolin et al., CVPR 2022)."""

from typing import Any

import numpy as np

from .scores import as_scores, reject, row_blocks

__all__ = ['INVERSE_TEMPERATURE', 'TOPK', 'check_settings', 'dynamic_inverted_softmax']

# Defaults of the authors' code, https://github.com/ioanacroi/qb-norm
INVERSE_TEMPERATURE = 20.0
TOPK = 1


def dynamic_inverted_softmax(
    similarity: Any,
    bank_similarity: Any,
    *,
    inverse_temperature: float = INVERSE_TEMPERATURE,
    topk: int = TOPK,
) -> np.ndarray:
    """Take from each video what it scores with the queries of a bank, where that may matter.

    A video is a *hub candidate* if it is among the ``topk`` best of at least one bank query. Texts
    whose best video is a hub candidate have their row normalised; the rows of the others stay as
    they are. Normalised is ``s - log(sum(exp(b * s_bank))) / b``, with the sum over the bank and
    ``b`` the inverse temperature. This is ``log(exp(b * s) / sum(exp(b * s_bank))) / b``: it orders
    the videos of a text as the paper's quotient does, and neither overflows nor vanishes.

    Only scores of one row compare with each other: use it for text-to-video ranks alone. Ties are
    resolved towards more hub candidates and more normalised rows.

    Args:
        similarity: Finite scores of the test texts; NumPy array or tensor of any device.
        bank_similarity: Finite scores of the bank queries with the same videos.
        inverse_temperature: Factor on the scores inside the exponential, made for cosines. For
            logits divide it by their scale.
        topk: How many best videos of a bank query are hub candidates.

    Shape:
        similarity: (N, M), bank_similarity: (Q, M) -> (N, M), of the same float type (half
        precision becomes single).

    Raises:
        ValueError: On values that are not finite, on what are no matrices of the same videos, and
            on settings out of range.

    Example:
        >>> import numpy as np
        >>> scores = np.array([[0.9, 0.1], [0.5, 0.4]])  # video 0 attracts both texts
        >>> bank = np.array([[0.8, 0.1], [0.7, 0.3]])  # and every query of the bank
        >>> dynamic_inverted_softmax(scores, bank).argmax(axis=1).tolist()
        [0, 1]
    """
    scores = as_scores(similarity)
    bank = as_scores(bank_similarity, 'bank_similarity')
    if bank.shape[1] != scores.shape[1]:
        raise ValueError(
            f'bank_similarity has {bank.shape[1]} videos, but similarity {scores.shape[1]}'
        )
    check_settings(inverse_temperature, topk)
    if topk > scores.shape[1]:
        raise ValueError(f'topk={topk} exceeds the {scores.shape[1]} videos')
    for matrix, name in ((scores, 'similarity'), (bank, 'bank_similarity')):
        reject(matrix, lambda block: ~np.isfinite(block), 'NaN or infinite', name)
    is_hub = _hub_candidates(bank, topk)
    attraction = _soft_maximum(bank, inverse_temperature)
    result = scores.copy()
    for rows in row_blocks(scores.shape):
        block = result[rows]
        is_best = block == block.max(axis=1, keepdims=True)
        normalised = (is_best & is_hub).any(axis=1)
        block[normalised] -= attraction
    return result


def check_settings(inverse_temperature: float, topk: int) -> None:
    """Raise if a setting of the dynamic inverted softmax is out of range.

    Raises:
        ValueError: see `dynamic_inverted_softmax`.
    """
    is_number = isinstance(inverse_temperature, int | float)
    if not is_number or not 0 < inverse_temperature < float('inf'):
        raise ValueError(f'inverse_temperature={inverse_temperature!r} must be a positive number')
    if not isinstance(topk, int) or isinstance(topk, bool) or topk < 1:
        raise ValueError(f'topk={topk!r} must be a whole number of at least 1')


def _hub_candidates(bank: np.ndarray, topk: int) -> np.ndarray:
    """Tell which videos are among the best of any bank query: (Q, M) -> (M,) bool."""
    place = bank.shape[1] - topk
    is_hub = np.zeros(bank.shape[1], dtype=bool)
    for rows in row_blocks(bank.shape):
        last_best = np.partition(bank[rows], place, axis=1)[:, place]
        is_hub |= (bank[rows] >= last_best[:, None]).any(axis=0)
    return is_hub


def _soft_maximum(bank: np.ndarray, inverse_temperature: float) -> np.ndarray:
    """Compute log(sum(exp(b * scores))) / b over the bank in double precision: (Q, M) -> (M,)."""
    top = bank.max(axis=0).astype(np.float64)
    total = np.zeros(bank.shape[1])
    for rows in row_blocks(bank.shape):
        total += np.exp(inverse_temperature * (bank[rows] - top)).sum(axis=0)
    return top + np.log(total) / inverse_temperature
