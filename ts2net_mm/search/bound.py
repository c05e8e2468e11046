"""Scores of windows, and bounds on them that need only the mean of the frames and two numbers.

docs/search.md has the proofs. All functions use NumPy alone, so that an index can be searched
without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

__all__ = [
    'AverageScore',
    'BestFrameScore',
    'FrameWeightedScore',
    'MeanPooledScore',
    'OtherScore',
    'Score',
    'ScoredFrames',
    'Summary',
    'dot_error',
    'score_from_settings',
    'summarise',
]

TEMPERATURE = 4.0  # of the released model
# covers the rounding of the bounds themselves, of which all inputs are single precision
RELATIVE_ERROR = 1e-5


@dataclass(frozen=True, eq=False)
class Summary:
    """What is known of N windows without their frames; fields are (N,) arrays.

    Args:
        radius: Largest distance of a frame from the mean of the frames.
        spread: Largest standard deviation of the frames in any direction.
        mean_norm: Length of the mean.
        num_frames: Number of frames.
    """

    radius: np.ndarray
    spread: np.ndarray
    mean_norm: np.ndarray
    num_frames: np.ndarray

    def __getitem__(self, rows: Any) -> Summary:
        """Select windows."""
        return Summary(
            self.radius[rows], self.spread[rows], self.mean_norm[rows], self.num_frames[rows]
        )


def summarise(frames: np.ndarray, num_frames: np.ndarray) -> tuple[np.ndarray, Summary]:
    """Compute the means of windows and their summary, from the frames as they are stored.

    Args:
        frames: Frames of length 1 (up to rounding); what follows the first ``num_frames`` of a
            window is ignored.
        num_frames: Number of frames of each window, at least 1.

    Shape:
        frames: (N, T, D), num_frames: (N,) -> (N, D) float32 and fields of (N,) float32. Radius
        and spread are rounded up.
    """
    frames = frames.astype(np.float64)
    mask = np.arange(frames.shape[1]) < num_frames[:, None]
    frames[~mask] = 0.0
    # the bounds are those of the mean that is stored
    means = (frames.sum(axis=1) / num_frames[:, None]).astype(np.float32)
    deviations = np.where(mask[..., None], frames - means[:, None].astype(np.float64), 0.0)
    radius = np.sqrt((deviations**2).sum(axis=-1).max(axis=1))
    # the covariance of T frames has the eigenvalues of their T x T products
    products = deviations @ deviations.transpose(0, 2, 1) / num_frames[:, None, None]
    variance = np.linalg.eigvalsh(products)[:, -1].clip(min=0.0)
    return means, Summary(
        radius=_round_up(radius),
        spread=_round_up(np.sqrt(variance)),
        mean_norm=np.linalg.norm(means.astype(np.float64), axis=1).astype(np.float32),
        num_frames=num_frames,
    )


def dot_error(dims: int) -> float:
    """Bound the rounding of a product of two single-precision vectors of length 1.

    It holds for every order of summation; with the rounding of the vectors themselves.
    """
    return (dims + 8) * float(np.finfo(np.float32).eps) / 2


@dataclass(frozen=True, eq=False)
class ScoredFrames:
    """The frames of N windows of up to T frames, for one query.

    Args:
        cosines: Cosine of the query and each frame, (N, T).
        vectors: Frames of length 1, (N, T, D).
        lengths: Length of each frame as the model returned it, (N, T).
        num_frames: Number of frames of each window; what follows them does not count.
        mean_norm: Length of the mean of the frames, (N,).
    """

    cosines: np.ndarray
    vectors: np.ndarray
    lengths: np.ndarray
    num_frames: np.ndarray
    mean_norm: np.ndarray

    @property
    def features(self) -> np.ndarray:
        """Frames as the model returned them, (N, T, D)."""
        return self.vectors * self.lengths[..., None]

    @property
    def mask(self) -> np.ndarray:
        """True for the frames that count, (N, T)."""
        return np.arange(self.cosines.shape[1]) < self.num_frames[:, None]


class Score(Protocol):
    """How well a window fits a query."""

    def exact(self, query: np.ndarray, frames: ScoredFrames) -> np.ndarray:
        """Compute the scores of a query of length 1 and N windows: (D,) -> (N,)."""
        ...

    def bounds(
        self, products: np.ndarray, summary: Summary, error: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bound the scores, from the products of query and means: (N,) -> (N,), (N,).

        Products and bounds are single precision; ``error`` is the largest error of a product.
        """
        ...

    def excess(self, low: float, high: float, summary: Summary) -> np.ndarray:
        """Bound how far the scores of N windows exceed products of ``low`` to ``high``: (N,).

        ``low`` is at least 0; with 0, the bound holds for negative products, too.
        """
        ...


@dataclass(frozen=True)
class FrameWeightedScore:
    """Sum of frame cosines, weighted by how well each frame fits the query.

    Computes `ts2net_mm.models.layers.similarity.frame_weighted_similarity`.

    Args:
        temperature: Sharpness of the weights, at least 0.

    Raises:
        ValueError: If the temperature is negative: the score could lie below the mean.
    """

    temperature: float = TEMPERATURE

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float('inf'):
            raise ValueError(f'temperature={self.temperature!r}, expected a number of at least 0')

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that `score_from_settings` reads."""
        return dict(type='frame_weighted', temperature=self.temperature)

    def exact(self, query: np.ndarray, frames: ScoredFrames) -> np.ndarray:
        """Compute the scores of a query of length 1 and N windows: (D,) -> (N,)."""
        cosines = np.where(frames.mask, frames.cosines, 0.0)
        norms = np.linalg.norm(cosines, axis=1, keepdims=True)
        logits = self.temperature * cosines / np.maximum(norms, 1e-12)
        weights = np.where(frames.mask, np.exp(logits - self.temperature), 0.0)
        return (weights * cosines).sum(axis=1) / weights.sum(axis=1)

    def bounds(
        self, products: np.ndarray, summary: Summary, error: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bound the scores, from the products of query and means: (N,) -> (N,), (N,)."""
        rounding = np.float32(error)
        excess = self._excess(np.maximum(np.abs(products) - rounding, 0), summary)
        return products - rounding, products + (rounding + excess)

    def excess(self, low: float, high: float, summary: Summary) -> np.ndarray:
        """Bound how far the scores of N windows exceed products of ``low`` to ``high``: (N,)."""
        return self._excess(np.full_like(summary.radius, low), summary)

    def _excess(self, size: np.ndarray, summary: Summary) -> np.ndarray:
        """Bound how far a score exceeds a mean cosine whose absolute value is at least ``size``."""
        radius, spread = summary.radius, summary.spread
        frames = summary.num_frames.astype(np.float32)
        with np.errstate(divide='ignore', invalid='ignore'):
            steep = self.temperature * radius**2 / (np.sqrt(frames) * size)
            variance = spread**2
            # sharpness where the variance of the cosines is largest, and exponent where it is
            # largest: at the least variance that lets a frame be ``radius`` away
            beta = self.temperature / np.sqrt(frames * (size**2 + variance))
            least = radius**2 / np.maximum(frames - 1, 1)
            exponent = self.temperature * radius / np.sqrt(frames * (size**2 + least))
            growth = np.expm1(exponent) / exponent
            # a window of equal frames divides 0 by 0, and `fmin` prefers the number
            excess = np.fmin(np.fmin(radius, steep), beta * variance * growth)
        return excess * np.float32(1 + RELATIVE_ERROR)


@dataclass(frozen=True)
class MeanPooledScore:
    """Cosine of the query and the mean of the frames, which needs no frames.

    Computes `ts2net_mm.models.layers.similarity.mean_pooled_similarity`.
    """

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that `score_from_settings` reads."""
        return dict(type='mean_pooled')

    def exact(self, query: np.ndarray, frames: ScoredFrames) -> np.ndarray:
        """Compute the scores of a query of length 1 and N windows: (D,) -> (N,)."""
        means = np.where(frames.mask, frames.cosines, 0.0).sum(axis=1) / frames.num_frames
        return means / np.maximum(frames.mean_norm, 1e-12)

    def bounds(
        self, products: np.ndarray, summary: Summary, error: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores with their rounding: (N,) -> (N,), (N,)."""
        norm = np.maximum(summary.mean_norm, np.float32(1e-12))
        rounding = np.float32(error)
        return (products - rounding) / norm, (products + rounding) / norm

    def excess(self, low: float, high: float, summary: Summary) -> np.ndarray:
        """Bound how far the scores of N windows exceed products of ``low`` to ``high``: (N,)."""
        norm = np.maximum(summary.mean_norm, np.float32(1e-12))
        return np.float32(high * (1 + RELATIVE_ERROR)) / norm - np.float32(high)


@dataclass(frozen=True)
class BestFrameScore:
    """Cosine of the query and the frame that fits it best.

    Computes `ts2net_mm.models.layers.similarity.best_frame_similarity`.
    """

    def exact(self, query: np.ndarray, frames: ScoredFrames) -> np.ndarray:
        """Compute the scores of a query of length 1 and N windows: (D,) -> (N,)."""
        return np.where(frames.mask, frames.cosines, -np.inf).max(axis=1)

    def bounds(
        self, products: np.ndarray, summary: Summary, error: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bound the scores, from the products of query and means: (N,) -> (N,), (N,)."""
        rounding = np.float32(error)
        return products - rounding, products + (rounding + self._excess(summary))

    def excess(self, low: float, high: float, summary: Summary) -> np.ndarray:
        """Bound how far the scores of N windows exceed products of ``low`` to ``high``: (N,)."""
        return self._excess(summary)

    def _excess(self, summary: Summary) -> np.ndarray:
        """Bound how far the best cosine exceeds the mean one.

        Of n numbers with standard deviation s, none is more than s * sqrt(n - 1) above the mean.
        """
        others = np.sqrt(np.maximum(summary.num_frames - 1, 0).astype(np.float32))
        excess = np.minimum(summary.radius, summary.spread * others)
        return excess * np.float32(1 + RELATIVE_ERROR)


@dataclass(frozen=True)
class AverageScore:
    """Mean of several scores.

    Args:
        scores: The scores.
    """

    scores: tuple[Score, ...]

    def exact(self, query: np.ndarray, frames: ScoredFrames) -> np.ndarray:
        """Compute the scores of a query of length 1 and N windows: (D,) -> (N,)."""
        return np.mean([score.exact(query, frames) for score in self.scores], axis=0)

    def bounds(
        self, products: np.ndarray, summary: Summary, error: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bound the scores, from the products of query and means: (N,) -> (N,), (N,)."""
        lower, upper = zip(
            *(score.bounds(products, summary, error) for score in self.scores), strict=True
        )
        rounding = np.float32(RELATIVE_ERROR)
        return np.mean(lower, axis=0) - rounding, np.mean(upper, axis=0) + rounding

    def excess(self, low: float, high: float, summary: Summary) -> np.ndarray:
        """Bound how far the scores of N windows exceed products of ``low`` to ``high``: (N,)."""
        parts = [score.excess(low, high, summary) for score in self.scores]
        return np.mean(parts, axis=0) + np.float32(RELATIVE_ERROR)


@dataclass(frozen=True)
class OtherScore:
    """A score without a bound: every window is scored.

    Args:
        similarity: Compares queries of length 1 with windows:
            (1, D), (N, T, D), (N, T) bool -> (1, N).
    """

    similarity: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

    def exact(self, query: np.ndarray, frames: ScoredFrames) -> np.ndarray:
        """Compute the scores of a query of length 1 and N windows: (D,) -> (N,)."""
        scores = self.similarity(query[None], frames.features, frames.mask)
        return np.asarray(scores, dtype=np.float64)[0]

    def bounds(
        self, products: np.ndarray, summary: Summary, error: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return infinite bounds: (N,) -> (N,), (N,)."""
        return np.full_like(products, -np.inf), np.full_like(products, np.inf)

    def excess(self, low: float, high: float, summary: Summary) -> np.ndarray:
        """Return infinity: (N,)."""
        return np.full_like(summary.radius, np.inf)


def score_from_settings(settings: Mapping[str, Any]) -> Score:
    """Build a score from its settings.

    Raises:
        ValueError: If they name no known score.
    """
    kinds: dict[str, Callable[..., Score]] = dict(
        frame_weighted=FrameWeightedScore,
        mean_pooled=MeanPooledScore,
        best_frame=BestFrameScore,
        average=_average_from_settings,
    )
    options = dict(settings)
    kind = kinds.get(options.pop('type', ''))
    try:
        if kind is not None:
            return kind(**options)
    except TypeError:
        pass
    raise ValueError(f'the score {dict(settings)} is unknown, choose one of {sorted(kinds)}')


def _average_from_settings(scores: Sequence[Mapping[str, Any]]) -> Score:
    return AverageScore(tuple(score_from_settings(score) for score in scores))


def _round_up(values: np.ndarray) -> np.ndarray:
    rounded = (values * (1 + 1e-6)).astype(np.float32)
    return np.where(values > 0, np.nextafter(rounded, np.float32(np.inf)), np.float32(0))
