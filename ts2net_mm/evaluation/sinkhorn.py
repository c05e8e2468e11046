"""Sinkhorn normalisation: every query and every candidate gets its share of all the matches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..utils.hubs import check_count, check_inverse_temperature, soft_maximum
from .normalisation import Normalised, as_bank
from .ranking import as_matrix, check_finite, row_blocks
from .tiles import DIRECTIONS, Rows

__all__ = [
    'BankSinkhorn',
    'Sinkhorn',
    'SinkhornOptions',
    'sinkhorn_bank_scores',
    'sinkhorn_potentials',
    'sinkhorn_scores',
]

# Defaults of Pan et al.'s code with a bank, https://github.com/ppanzx/DBSN, Video_Retrieval/dbsn.py
# (tau=0.01, numItermax=10; sn.py, without a bank, stops at 5)
INVERSE_TEMPERATURE = 100.0
NUM_ITERATIONS = 10


@dataclass(frozen=True, kw_only=True)
class SinkhornOptions:
    """Settings of the Sinkhorn normalisation.

    Args:
        inverse_temperature: Factor on the cosines; see `sinkhorn_scores`.
        num_iterations: See there.
    """

    inverse_temperature: float = INVERSE_TEMPERATURE
    num_iterations: int = NUM_ITERATIONS

    @classmethod
    def from_config(cls, settings: Any) -> SinkhornOptions | None:
        """Read and check the settings of a config: a dict, True for the defaults, False for None.

        Raises:
            ValueError: If a setting is unknown or out of range.
        """
        if isinstance(settings, bool):
            return cls() if settings else None
        if not isinstance(settings, Mapping):
            raise ValueError(f'sinkhorn={settings!r} must be True, False or a dict of settings')
        names = [field.name for field in fields(cls)]
        if unknown := [name for name in settings if name not in names]:
            raise ValueError(f'sinkhorn has the unknown settings {unknown}, it takes {names}')
        options = cls(**settings)
        try:
            _check_settings(options.inverse_temperature, options.num_iterations)
        except ValueError as error:
            raise ValueError(f'sinkhorn: {error}') from error
        return options

    def for_logits(self, logit_scale: float) -> dict[str, Any]:
        """Return the arguments of `sinkhorn_scores` for cosines that were multiplied by a scale."""
        return dict(
            inverse_temperature=self.inverse_temperature / logit_scale,
            num_iterations=self.num_iterations,
        )


def sinkhorn_scores(
    similarity: Any,
    direction: str = 't2v',
    *,
    inverse_temperature: float = INVERSE_TEMPERATURE,
    num_iterations: int = NUM_ITERATIONS,
) -> np.ndarray:
    """Subtract from every score what its text and what its video attract.

    Proposed for this field by Yakovlev et al. (SIGIR 2023, arXiv 2311.08143); here with equal
    shares of all candidates, as in the code of Pan et al. (ACM MM 2025, arXiv 2508.02538).
    ``exp(b * s)``, with ``b`` the inverse temperature, is scaled so that each query has the sum 1,
    then so that each candidate has the sum queries / candidates, again and again; in the limit both
    hold. The result is its logarithm divided by ``b``: the score minus a potential of the text and
    one of the video. The candidates come last, so their sums are exact after any number of
    iterations.

    Within a query only the potentials of the candidates change the order. They depend on all
    queries, which must be known, so these numbers do not compare with plain ones.

    Args:
        similarity: Finite scores; NumPy array or tensor of any device.
        direction: ``'t2v'``, where the videos are the candidates, or ``'v2t'``.
        inverse_temperature: Factor on the scores inside the exponential, made for cosines. For
            logits divide it by their scale.
        num_iterations: How often the queries and then the candidates are normalised.

    Shape:
        similarity: (N, M) -> (N, M), texts as rows in both directions, of the same float type (half
        precision becomes single).

    Raises:
        ValueError: On an unknown direction, on values that are not finite, on what is not a matrix,
            and on settings out of range.

    Example:
        >>> import numpy as np
        >>> scores = np.array([[0.9, 0.1], [0.5, 0.4]])  # video 0 attracts both texts
        >>> sinkhorn_scores(scores).argmax(axis=1).tolist()
        [0, 1]
        >>> shares = np.exp(100 * sinkhorn_scores(scores))
        >>> shares.sum(axis=0).round(6).tolist()
        [1.0, 1.0]
    """
    return Sinkhorn(
        similarity,
        direction,
        inverse_temperature=inverse_temperature,
        num_iterations=num_iterations,
    ).whole()


def sinkhorn_bank_scores(
    similarity: Any,
    bank_similarity: Any,
    *,
    inverse_temperature: float = INVERSE_TEMPERATURE,
    num_iterations: int = NUM_ITERATIONS,
) -> np.ndarray:
    """Subtract from each video what it attracts among the queries of a bank.

    The form for single queries, as in the code of Pan et al.: the potentials of the videos are
    those of the bank's scores, so a test text is ranked without any other test text. Only scores of
    one row compare with each other: use it for text-to-video ranks alone.

    Args:
        similarity: Finite scores of the test texts; NumPy array or tensor of any device.
        bank_similarity: Finite scores of the bank queries with the same videos.
        inverse_temperature: See `sinkhorn_scores`.
        num_iterations: See there.

    Shape:
        similarity: (N, M), bank_similarity: (Q, M) -> (N, M), of the same float type (half
        precision becomes single).

    Raises:
        ValueError: On values that are not finite, on what are no matrices of the same videos, and
            on settings out of range.

    Example:
        >>> import numpy as np
        >>> scores = np.array([[0.9, 0.1], [0.5, 0.4]])  # video 0 attracts both texts
        >>> bank = np.array([[0.8, 0.1], [0.6, 0.5]])  # and every query of the bank
        >>> sinkhorn_bank_scores(scores, bank).argmax(axis=1).tolist()
        [0, 1]
    """
    return BankSinkhorn(
        similarity,
        bank_similarity,
        inverse_temperature=inverse_temperature,
        num_iterations=num_iterations,
    ).whole()


class Sinkhorn(Normalised):
    """The tiles of `sinkhorn_scores`."""

    def __init__(
        self, similarity: Any, direction: str, *, inverse_temperature: float, num_iterations: int
    ) -> None:
        if direction not in DIRECTIONS:
            raise ValueError(f'direction must be one of {DIRECTIONS}, got {direction!r}')
        super().__init__(similarity)
        _check_settings(inverse_temperature, num_iterations)
        scores = self.scores.numpy()
        queries, candidates = _fit(
            scores if direction == 't2v' else scores.T, inverse_temperature, num_iterations
        )
        texts, videos = (queries, candidates) if direction == 't2v' else (candidates, queries)
        self._texts, self._videos = torch.from_numpy(texts), torch.from_numpy(videos)

    def __call__(self, rows: Rows, columns: slice) -> Tensor:
        """Compute a tile."""
        tile = self.scores[rows, columns] - self._videos[columns]
        return tile.sub_(self._texts[rows, None]).to(self.scores.dtype)


class BankSinkhorn(Normalised):
    """The tiles of `sinkhorn_bank_scores`."""

    def __init__(
        self,
        similarity: Any,
        bank_similarity: Any,
        *,
        inverse_temperature: float,
        num_iterations: int,
    ) -> None:
        super().__init__(similarity)
        bank = as_bank(bank_similarity, num_videos=self.scores.shape[1])
        _check_settings(inverse_temperature, num_iterations)
        self._videos = torch.from_numpy(_fit(bank, inverse_temperature, num_iterations)[1])

    def __call__(self, rows: Rows, columns: slice) -> Tensor:
        """Compute a tile."""
        return (self.scores[rows, columns] - self._videos[columns]).to(self.scores.dtype)


def sinkhorn_potentials(
    scores: Any,
    *,
    inverse_temperature: float = INVERSE_TEMPERATURE,
    num_iterations: int = NUM_ITERATIONS,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute what each query and each candidate attracts; see `sinkhorn_scores`.

    Args:
        scores: Finite scores of the queries with the candidates.
        inverse_temperature: See `sinkhorn_scores`.
        num_iterations: See there.

    Shape:
        scores: (Q, M) -> potentials of the queries (Q,) and of the candidates (M,), in double
        precision and units of the scores.

    Raises:
        ValueError: On values that are not finite, on what is not a matrix, and on settings out of
            range.
    """
    _check_settings(inverse_temperature, num_iterations)
    matrix = as_matrix(scores, 'scores')
    check_finite(matrix, 'scores')
    return _fit(matrix, inverse_temperature, num_iterations)


def _check_settings(inverse_temperature: float, num_iterations: int) -> None:
    check_inverse_temperature(inverse_temperature)
    check_count('num_iterations', num_iterations)


def _fit(
    scores: np.ndarray, inverse_temperature: float, num_iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Alternate both normalisations, a block of queries at a time."""
    num_queries, num_candidates = scores.shape
    # Both times the inverse temperature until the end
    queries, candidates = np.zeros(num_queries), np.zeros(num_candidates)
    for iteration in range(num_iterations):
        if iteration:
            totals = _step(scores, inverse_temperature, queries, candidates)
        else:
            totals = _first_step(scores, inverse_temperature, queries)
        candidates += totals - np.log(num_queries / num_candidates)
    return queries / inverse_temperature, candidates / inverse_temperature


def _first_step(scores: np.ndarray, factor: float, queries: np.ndarray) -> np.ndarray:
    """Do what `_step` does without potentials, where all shares of a candidate may vanish: (M,)."""

    def shares() -> Iterator[np.ndarray]:
        for rows in row_blocks(scores.shape):
            block = np.multiply(scores[rows], factor, dtype=np.float64)
            top = block.max(axis=1)
            queries[rows] = top + np.log(np.exp(block - top[:, None]).sum(axis=1))
            yield block - queries[rows, None]

    return soft_maximum(shares(), 1.0)


def _step(
    scores: np.ndarray, factor: float, queries: np.ndarray, candidates: np.ndarray
) -> np.ndarray:
    """Normalise the queries, in place, and compute the logarithms of the candidates' sums: (M,).

    After a first iteration no sum is below 1 / M: a candidate has N / M then, and a query, which
    had 1, between 1 / M and N.
    """
    totals = np.zeros(len(candidates))
    buffer = np.empty(0)
    for rows in row_blocks(scores.shape):
        size = (rows.stop - rows.start) * len(candidates)
        buffer = buffer[:size] if len(buffer) >= size else np.empty(size)  # the last may be smaller
        shares = buffer.reshape(-1, len(candidates))
        np.multiply(scores[rows], factor, out=shares)
        shares -= candidates
        top = shares.max(axis=1, keepdims=True)
        shares -= top
        np.exp(buffer, out=buffer)
        sums = shares.sum(axis=1, keepdims=True)
        queries[rows] = (top + np.log(sums)).squeeze(1)
        shares /= sums
        totals += shares.sum(axis=0)
    return np.log(totals)
