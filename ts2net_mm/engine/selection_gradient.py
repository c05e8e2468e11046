"""Measure the noise of the gradient from which the token selection learns."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..models import TS2Net
from ..models.layers.perturbed_topk import Gradient
from ..models.necks import TokenSelection

__all__ = ['Estimator', 'GradientStatistics', 'measure_gradients', 'selection_gradients']


@dataclass(frozen=True)
class Estimator:
    """A way to pass a gradient through the selection.

    Args:
        gradient: 'diagonal' or 'full', of the perturbed selection; None: straight-through, which
            has no noise.
        sigma: Standard deviation of the noise on the scores.
        num_samples: Number of noise samples.
    """

    gradient: Gradient | None = None
    sigma: float = 0.0
    num_samples: int = 0

    def of(self, neck: TokenSelection) -> TokenSelection:
        """Copy a selection that trains in this way, with the same weights."""
        neck = copy.deepcopy(neck).train()
        neck.requires_grad_(True)
        if self.gradient is None:
            neck.train_mode = 'straight_through'
        else:
            neck.train_mode, neck.gradient = 'perturbed', self.gradient
            neck.sigma, neck.num_samples = self.sigma, self.num_samples
        return neck


class GradientStatistics:
    """Signal and noise of a gradient of several batches, each drawn several times.

    The norms are those of vectors with all entries, and the squared ones are unbiased, so that
    they do not depend on the number of draws and batches; a negative estimate counts as 0.
    """

    def __init__(self) -> None:
        self._means: list[Tensor] = []
        self._noise: list[float] = []
        self._noise_of_mean: list[float] = []

    def add(self, draws: Iterable[Tensor]) -> Tensor:
        """Add the draws of a batch, vectors in double precision, and return their mean.

        A single draw counts as one without noise.
        """
        count, total, squares = 0, torch.zeros(()).double(), 0.0
        for draw in draws:
            count, total, squares = count + 1, total + draw, squares + float(draw @ draw)
        mean = total / count
        excess = max(squares - count * float(mean @ mean), 0.0)
        self._noise.append(excess / (count - 1) if count > 1 else 0.0)
        self._noise_of_mean.append(self._noise[-1] / count)
        self._means.append(mean)
        return mean

    @property
    def noise(self) -> float:
        """Standard deviation of a draw, of the same batch."""
        return math.sqrt(_average(self._noise))

    @property
    def signal_of_batches(self) -> float:
        """Norm of the expected gradient of a batch: the root of its mean square."""
        return math.sqrt(max(_average(self.squared_norms), 0.0))

    @property
    def squared_norms(self) -> list[float]:
        """Squared norm of the expected gradient of each batch; may be negative."""
        pairs = zip(self._means, self._noise_of_mean, strict=True)
        return [float(mean @ mean) - noise for mean, noise in pairs]

    @property
    def data(self) -> float:
        """Standard deviation of the expected gradient from batch to batch."""
        return math.sqrt(max(self._variance_of_means() - _average(self._noise_of_mean), 0.0))

    @property
    def signal(self) -> float:
        """Norm of the expected gradient of all data."""
        mean = torch.stack(self._means).mean(dim=0)
        squared = float(mean @ mean) - self._variance_of_means() / len(self._means)
        return math.sqrt(max(squared, 0.0))

    def cosine(self, other: GradientStatistics) -> float:
        """Compute the cosine of the expected gradients of two estimators, the mean of the batches.

        NaN if the signal of a batch is lost in its noise. The draws of both must be independent.
        """
        cosines = []
        for mine, theirs, *squares in zip(
            self._means, other._means, self.squared_norms, other.squared_norms, strict=True
        ):
            if min(squares) <= 0:
                return math.nan
            cosines.append(float(mine @ theirs) / math.sqrt(math.prod(squares)))
        return _average(cosines)

    def _variance_of_means(self) -> float:
        means = torch.stack(self._means)
        return float((means - means.mean(dim=0)).square().sum()) / (len(means) - 1)


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def selection_gradients(
    neck: TokenSelection,
    tokens: Tensor,
    frame_mask: Tensor | None,
    loss_of: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of a loss with respect to the scores and to the weights behind them.

    Args:
        neck: The selection, in training mode.
        tokens: What it selects from.
        frame_mask: Which frames are valid.
        loss_of: Computes the loss from the selected tokens.

    Shape:
        tokens: (B, T, 1 + P, D), frame_mask: (B, T) bool -> (B * T * (1 + P),), (number of
        weights,), both in double precision; the score of [CLS] included.
    """
    scores: list[Tensor] = []
    handle = neck.score_mlp.register_forward_hook(lambda part, given, found: scores.append(found))
    try:
        loss = loss_of(neck(tokens, frame_mask))
    finally:
        handle.remove()
    of_scores, *of_weights = torch.autograd.grad(loss, [*scores, *neck.parameters()])
    return of_scores.flatten().double(), torch.cat([g.flatten() for g in of_weights]).double()


def measure_gradients(
    model: TS2Net, batches: Iterable[Any], estimators: Sequence[Estimator], *, draws: int
) -> dict[Estimator, tuple[GradientStatistics, GradientStatistics]]:
    """Measure the gradients of some batches by several estimators, with the weights as they are.

    Everything but the noise of the selection is the same in all draws: the backbone and the text
    encoder run once a batch, and all but the selection is in test mode.

    Args:
        model: A model whose neck is a `TokenSelection`.
        batches: Batches of the training, as of a data loader.
        estimators: What to compare.
        draws: Draws of the noise for each batch.

    Returns:
        For each estimator the gradients of the scores and those of the selection's weights.
    """
    model.eval()
    assert isinstance(model.neck, TokenSelection)
    necks = {estimator: estimator.of(model.neck) for estimator in estimators}
    found = {each: (GradientStatistics(), GradientStatistics()) for each in estimators}
    for batch in batches:
        inputs = model.data_preprocessor(batch, False)['inputs']
        mask = inputs['frame_mask']
        with torch.no_grad():
            tokens, text = model.backbone(inputs['imgs'], mask), model.encode_text(inputs['text'])

        def loss_of(selected: Tensor, text: Tensor = text, mask: Tensor = mask) -> Tensor:
            losses = model.loss_from_features(text, model.head(selected, mask), mask)
            return model.parse_losses(losses)[0]

        for estimator, statistics in found.items():
            count = 1 if estimator.gradient is None else draws
            drawn = [
                selection_gradients(necks[estimator], tokens, mask, loss_of) for _ in range(count)
            ]
            for each, gradients in zip(statistics, zip(*drawn, strict=True), strict=True):
                each.add(gradients)
    return found
