"""Differentiable top-K by perturbation (Berthet et al. 2020, Cordonnier et al. 2021)."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

__all__ = ['draw_noise', 'fixed_noise', 'hard_topk', 'hard_topk_weights', 'perturbed_topk']


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


class _PerturbedTopK(torch.autograd.Function):
    """Mean of the perturbed top-K one-hots, from indices, without the (N, S, K, P) tensor.

    The gradient estimator is the mean of onehot * noise / sigma, which is zero except at the chosen
    patches. It is summed in the forward pass from the gathered noise, so only the (N, K, P) sum is
    saved for the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, noise: Tensor, k: int, sigma: float) -> Tensor:
        num_rows, num_patches = scores.shape
        num_samples = noise.shape[1]
        perturbed = scores[:, None] + noise * sigma  # (N, S, P)
        chosen = perturbed.topk(k, dim=-1, sorted=False).indices.sort(dim=-1).values
        # a flat (K * P) histogram per row: sample s counts at [k, chosen[s, k]]
        rank_offset = torch.arange(k, device=scores.device) * num_patches
        place = (chosen + rank_offset).flatten(1)  # (N, S * K)
        indicator = scores.new_zeros(num_rows, k * num_patches)
        indicator.scatter_add_(1, place, scores.new_ones(1, 1).expand_as(place))
        if ctx.needs_input_grad[0]:
            gathered = noise.expand(num_rows, -1, -1).gather(2, chosen).flatten(1)
            estimate = torch.zeros_like(indicator)
            estimate.scatter_add_(1, place, gathered).div_(num_samples * sigma)
            ctx.save_for_backward(estimate.view(num_rows, k, num_patches))
        return indicator.div_(num_samples).view(num_rows, k, num_patches)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (estimate,) = ctx.saved_tensors
        return (grad * estimate).sum(dim=1), None, None, None


def perturbed_topk(scores: Tensor, noise: Tensor, k: int, sigma: float) -> Tensor:
    """Select the K best patches of each row softly: the mean over noisy hard selections.

    Args:
        scores: Score of each patch.
        noise: Standard normal noise, per row or shared by all rows.
        k: Number of patches to select; the selection of each sample is sorted by position.
        sigma: Standard deviation of the noise that is added to the scores.

    Shape:
        - scores: (N, P), noise: (N, S, P) or (1, S, P) -> (N, K, P), each row sums to 1

    Raises:
        ValueError: If ``k`` exceeds the number of patches or ``sigma`` is not positive.
    """
    _check_k(k, scores.shape[1])
    if sigma <= 0:
        raise ValueError(f'sigma={sigma} must be positive; use the hard top-K for no noise')
    return _PerturbedTopK.apply(scores, noise, k, sigma)


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
