"""Differentiable top-K by perturbation (Berthet et al. 2020, Cordonnier et al. 2021)."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot

__all__ = [
    'Gradient',
    'draw_noise',
    'fixed_noise',
    'hard_topk',
    'hard_topk_weights',
    'perturbed_topk',
]

Gradient = Literal['diagonal', 'full']


def draw_noise(
    shape: tuple[int, ...],
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw the standard normal noise of a selection; all selection noise is drawn here."""
    if generator is None:
        # torch.compile cannot trace a generator argument, even None, if the batch size changes
        return torch.randn(shape, device=device, dtype=dtype)
    return torch.randn(shape, device=device, dtype=dtype, generator=generator)


@torch.compiler.assume_constant_result
def fixed_noise(num_samples: int, num_patches: int, seed: int, dtype: torch.dtype) -> Tensor:
    """Draw the noise of a seed, on the CPU; it is a constant for all that record a model.

    Shape:
        - (1, num_samples, num_patches)
    """
    draw = partial(
        draw_noise,
        (1, num_samples, num_patches),
        device='cpu',  # so that it is the same on every device
        dtype=dtype,
        generator=torch.Generator().manual_seed(seed),
    )
    # torch.export and torch.jit.trace would record the generator, which continues with each call
    # of the result; they see nothing of another thread
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(draw).result()


def _choose(scores: Tensor, noise: Tensor, k: int, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
    """Choose K patches in each sample: (N, P), (N, S, P) -> (N, S, K), (N, S * K), (N, K, P).

    Returns the patches of each sample, sorted by position, their places in a flat (K * P) histogram
    of each row, and that histogram divided by S.
    """
    num_rows, num_patches = scores.shape
    num_samples = noise.shape[1]
    perturbed = scores[:, None] + noise * sigma  # (N, S, P)
    chosen = perturbed.topk(k, dim=-1, sorted=False).indices.sort(dim=-1).values
    # sample s counts at [k, chosen[s, k]]
    rank_offset = torch.arange(k, device=scores.device) * num_patches
    place = (chosen + rank_offset).flatten(1)  # (N, S * K)
    indicator = scores.new_zeros(num_rows, k * num_patches)
    indicator.scatter_add_(1, place, scores.new_ones(1, 1).expand_as(place))
    return chosen, place, indicator.div_(num_samples).view(num_rows, k, num_patches)


class _DiagonalGradient(torch.autograd.Function):
    """Mean of the perturbed top-K one-hots, from indices, without the (N, S, K, P) tensor.

    The gradient estimator is the mean of onehot * noise / sigma, which is zero except at the chosen
    patches. It is summed in the forward pass from the gathered noise, so only the (N, K, P) sum is
    saved for the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, noise: Tensor, k: int, sigma: float) -> Tensor:
        chosen, place, indicator = _choose(scores, noise, k, sigma)
        if ctx.needs_input_grad[0]:
            num_rows, num_samples = len(scores), noise.shape[1]
            gathered = noise.expand(num_rows, -1, -1).gather(2, chosen).flatten(1)
            estimate = torch.zeros_like(indicator).flatten(1)
            estimate.scatter_add_(1, place, gathered).div_(num_samples * sigma)
            ctx.save_for_backward(estimate.view_as(indicator))
        return indicator

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (estimate,) = ctx.saved_tensors
        return (grad * estimate).sum(dim=1), None, None, None


class _FullGradient(torch.autograd.Function):
    """As `_DiagonalGradient`, with all of the Jacobian: a patch that is chosen displaces another.

    The estimator is the mean of value * noise / sigma over the samples, where value is the gradient
    along the choice of a sample. Two terms whose mean is zero are left out, as they only add noise:
    the mean value of the samples, and the mean noise of the patches, which changes no choice.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, noise: Tensor, k: int, sigma: float) -> Tensor:
        _, place, indicator = _choose(scores, noise, k, sigma)
        if ctx.needs_input_grad[0]:
            ctx.sigma = sigma
            ctx.save_for_backward(place, noise)
        return indicator

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        place, noise = ctx.saved_tensors
        num_rows, num_samples = len(grad), noise.shape[1]
        value = grad.flatten(1).gather(1, place).view(num_rows, num_samples, -1).sum(dim=-1)
        value = value - value.mean(dim=1, keepdim=True)
        # the mean of the values contains each of them, which the factor S / (S - 1) corrects
        scale = (num_samples - 1) * ctx.sigma
        estimate = (value[:, None] @ noise.expand(num_rows, -1, -1)).squeeze(1) / scale
        return estimate - estimate.mean(dim=1, keepdim=True), None, None, None


def perturbed_topk(
    scores: Tensor,
    noise: Tensor,
    k: int,
    sigma: float,
    *,
    gradient: Gradient = 'diagonal',
) -> Tensor:
    """Select the K best patches of each row softly: the mean over noisy hard selections.

    Args:
        scores: Score of each patch.
        noise: Standard normal noise, per row or shared by all rows.
        k: Number of patches to select; the selection of each sample is sorted by position.
        sigma: Standard deviation of the noise that is added to the scores.
        gradient: Which part of the Jacobian of the weights is estimated. 'diagonal': how the weight
            of a patch changes with its own score, as in the released model. It is never negative,
            so a weight that should shrink lowers a score and raises no other. 'full': all of it
            (Berthet et al. 2020, proposition 3.1), which never moves all scores of a row together.

    Shape:
        - scores: (N, P), noise: (N, S, P) or (1, S, P) -> (N, K, P), each row sums to 1

    Raises:
        ValueError: If ``k`` exceeds the number of patches, ``sigma`` is not positive, or the full
            gradient has fewer than two samples.
    """
    _check_k(k, scores.shape[1])
    if sigma <= 0:
        raise ValueError(f'sigma={sigma} must be positive; use the hard top-K for no noise')
    if gradient == 'diagonal':
        return _DiagonalGradient.apply(scores, noise, k, sigma)
    if noise.shape[1] < 2:
        raise ValueError(
            f'{noise.shape[1]} noise samples, expected at least 2 for the full gradient'
        )
    return _FullGradient.apply(scores, noise, k, sigma)


def hard_topk(scores: Tensor, k: int) -> Tensor:
    """Select the K best patches of each row, sorted by position.

    Shape:
        - scores: (N, P) -> (N, K) int64

    Raises:
        ValueError: If ``k`` exceeds the number of patches.
    """
    _check_k(k, scores.shape[1])
    return scores.topk(k, dim=-1).indices.sort(dim=-1).values


def hard_topk_weights(scores: Tensor, k: int) -> Tensor:
    """Select the K best patches of each row with weight 1, sorted by position.

    Shape:
        - scores: (N, P) -> (N, K, P), in the type of the scores

    Raises:
        ValueError: If ``k`` exceeds the number of patches.
    """
    return one_hot(hard_topk(scores, k), scores.shape[1]).to(scores.dtype)


def _check_k(k: int, num_patches: int) -> None:
    if not 1 <= k <= num_patches:
        raise ValueError(f'topk={k} must be between 1 and the {num_patches} candidates of a frame')
