"""Normalisations against hubs, the candidates that score high with almost every query."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..utils.hubs import INVERSE_TEMPERATURE, TOPK, check_settings, soft_maximum
from .ranking import as_matrix, check_finite, row_blocks
from .tiles import DIRECTIONS, Rows

__all__ = [
    'INVERSE_TEMPERATURE',
    'TOPK',
    'DynamicInvertedSoftmax',
    'InvertedSoftmax',
    'Normalised',
    'as_bank',
    'check_settings',
    'dynamic_inverted_softmax',
    'inverted_softmax',
]


def inverted_softmax(similarity: Any, direction: str = 't2v') -> np.ndarray:
    """Weight every score by the share of its candidate that its query gets.

    Also called dual softmax. The result is ``similarity * softmax(similarity over the queries)``.
    Text to video: over the texts, as in the released code. Video to text: over the videos, for each
    caption separately; the best caption of a video is taken after the weighting. (Over the texts,
    as in the released code, it would change no rank.) Every row and every column counts as a
    query, and all queries must be known, so these numbers do not compare with plain ones.

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
    return InvertedSoftmax(similarity, direction).whole()


class Normalised(ABC):
    """A matrix whose tiles are normalised when they are read, so that there is no second matrix.

    Args:
        similarity: Finite scores.
    """

    def __init__(self, similarity: Any) -> None:
        scores = as_matrix(similarity)
        check_finite(scores)
        self.scores = torch.from_numpy(scores)

    @abstractmethod
    def __call__(self, rows: Rows, columns: slice) -> Tensor:
        """Compute a tile."""

    def whole(self) -> np.ndarray:
        """Compute all tiles."""
        result = np.empty_like(self.scores.numpy())
        for rows in row_blocks(result.shape):
            result[rows] = self(rows, slice(None)).numpy()
        return result


class InvertedSoftmax(Normalised):
    """The tiles of `inverted_softmax`."""

    def __init__(self, similarity: Any, direction: str) -> None:
        if direction not in DIRECTIONS:
            raise ValueError(f'direction must be one of {DIRECTIONS}, got {direction!r}')
        super().__init__(similarity)
        self._over_texts = direction == 't2v'
        queries = 0 if self._over_texts else 1
        # Relative to the best query, exponentials neither overflow nor all vanish
        self._top = self.scores.amax(dim=queries, keepdim=True).double()
        self._total = torch.zeros_like(self._top)
        self._buffer = self._top.new_empty(0)
        for rows in row_blocks(self.scores.shape):
            total = self._exponentials(rows, slice(None)).sum(dim=queries, keepdim=True)
            self._of_tile(self._total, rows, slice(None)).add_(total)

    def __call__(self, rows: Rows, columns: slice) -> Tensor:
        """Compute a tile."""
        share = self._exponentials(rows, columns).div_(self._of_tile(self._total, rows, columns))
        return share.mul_(self.scores[rows, columns]).to(self.scores.dtype)

    def _exponentials(self, rows: Rows, columns: slice) -> Tensor:
        """Compute them in double precision, in memory that the next call overwrites."""
        scores = self.scores[rows, columns]
        if scores.numel() > len(self._buffer):  # new memory would cost more than the arithmetic
            self._buffer = self._buffer.new_empty(scores.numel())
        out = self._buffer[: scores.numel()].view(scores.shape)
        return torch.sub(scores, self._of_tile(self._top, rows, columns), out=out).exp_()

    def _of_tile(self, values: Tensor, rows: Rows, columns: slice) -> Tensor:
        """Take a value of each candidate, (1, m), or of each text, (n, 1)."""
        return values[:, columns] if self._over_texts else values[rows]


def dynamic_inverted_softmax(
    similarity: Any,
    bank_similarity: Any,
    *,
    inverse_temperature: float = INVERSE_TEMPERATURE,
    topk: int = TOPK,
) -> np.ndarray:
    """Subtract from each video what it scores with the queries of a bank, where that may matter.

    Querybank normalisation (QB-Norm, Bogolin et al., CVPR 2022). A video is a *hub candidate* if it
    is among the ``topk`` best of at least one bank query. Texts whose best video is a hub candidate
    have their row normalised; the rows of the others are unchanged. The normalised score is
    ``s - log(sum(exp(b * s_bank))) / b``, with the sum over the bank and ``b`` the inverse
    temperature. This is ``log(exp(b * s) / sum(exp(b * s_bank))) / b``: it orders the videos of a
    text as the paper's quotient does, and neither overflows nor vanishes.

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
    return DynamicInvertedSoftmax(
        similarity, bank_similarity, inverse_temperature=inverse_temperature, topk=topk
    ).whole()


class DynamicInvertedSoftmax(Normalised):
    """The tiles of `dynamic_inverted_softmax`."""

    def __init__(
        self, similarity: Any, bank_similarity: Any, *, inverse_temperature: float, topk: int
    ) -> None:
        super().__init__(similarity)
        num_videos = self.scores.shape[1]
        bank = as_bank(bank_similarity, num_videos=num_videos)
        check_settings(inverse_temperature, topk)
        if topk > num_videos:
            raise ValueError(f'topk={topk} exceeds the {num_videos} videos')
        bank_blocks = (bank[rows] for rows in row_blocks(bank.shape))
        self._attraction = torch.from_numpy(soft_maximum(bank_blocks, inverse_temperature))
        is_hub = torch.from_numpy(_hub_candidates(bank, topk))
        blocks = (self.scores[rows] for rows in row_blocks(self.scores.shape))
        self._attracted = torch.cat(
            [((block == block.amax(1, keepdim=True)) & is_hub).any(1) for block in blocks]
        )

    def __call__(self, rows: Rows, columns: slice) -> Tensor:
        """Compute a tile."""
        shift = self._attraction[columns] * self._attracted[rows, None]
        return (self.scores[rows, columns] - shift).to(self.scores.dtype)


def as_bank(bank_similarity: Any, *, num_videos: int) -> np.ndarray:
    """Validate the scores of the queries of a bank, and return them as a NumPy array: (Q, M).

    Raises:
        ValueError: If they are no matrix of so many videos, or not finite.
    """
    bank = as_matrix(bank_similarity, 'bank_similarity')
    if bank.shape[1] != num_videos:
        raise ValueError(f'bank_similarity has {bank.shape[1]} videos, but similarity {num_videos}')
    check_finite(bank, 'bank_similarity')
    return bank


def _hub_candidates(bank: np.ndarray, topk: int) -> np.ndarray:
    """Find the videos among the best of any bank query: (Q, M) -> (M,) bool."""
    place = bank.shape[1] - topk
    is_hub = np.zeros(bank.shape[1], dtype=bool)
    for rows in row_blocks(bank.shape):
        last_best = np.partition(bank[rows], place, axis=1)[:, place]
        is_hub |= (bank[rows] >= last_best[:, None]).any(axis=0)
    return is_hub
