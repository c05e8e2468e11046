"""Perturbed top-K against the plain form that holds every one-hot."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from measuring import Side, measure, saved_bytes
from report import Report
from torch import Tensor

from ts2net_mm.models.layers.perturbed_topk import draw_noise, perturbed_topk

__all__ = ['Sizes', 'run']

SIGMA = 0.05


@dataclass(frozen=True)
class Sizes:
    """What is selected from."""

    frames: int = 96
    patches: int = 49
    samples: int = 500
    topk: int = 3


class _PlainTopK(torch.autograd.Function):
    """Mean of an (N, S, K, P) one-hot tensor, which is kept with the noise for the gradient."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, noise: Tensor, k: int, sigma: float) -> Tensor:
        perturbed = scores[:, None] + noise * sigma
        chosen = perturbed.topk(k, dim=-1, sorted=False).indices.sort(dim=-1).values
        onehot = F.one_hot(chosen, scores.shape[1]).float()
        ctx.save_for_backward(onehot, noise)
        ctx.sigma = sigma
        return onehot.mean(dim=1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        onehot, noise = ctx.saved_tensors
        estimate = torch.einsum('nskp,nsp->nkp', onehot, noise) / (noise.shape[1] * ctx.sigma)
        return torch.einsum('nkp,nkp->np', grad, estimate), None, None, None


def plain_topk(scores: Tensor, noise: Tensor, k: int, sigma: float) -> Tensor:
    """Compute what perturbed_topk does, from one-hots."""
    return _PlainTopK.apply(scores, noise, k, sigma)


def run(repeats: int, sizes: Sizes | None = None) -> Report:
    """Measure both forms, forward and backward, on the same scores and noise."""
    sizes = sizes or Sizes()
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(sizes.frames, sizes.patches, generator=generator, requires_grad=True)
    noise = draw_noise(
        (sizes.frames, sizes.samples, sizes.patches),
        device='cpu',
        dtype=scores.dtype,
        generator=generator,
    )
    weight = torch.rand(sizes.frames, sizes.topk, sizes.patches, generator=generator)

    def build_side(name: str, select: Any) -> Side:
        def forward() -> Tensor:
            return select(scores, noise, sizes.topk, SIGMA)

        def forward_backward() -> tuple[Tensor, Tensor]:
            indicator = forward()
            return indicator.detach(), torch.autograd.grad(indicator, scores, weight)[0]

        return Side(name, forward_backward, saved=saved_bytes(forward))

    sides = [build_side('ts2net_mm', perturbed_topk), build_side('plain one-hot', plain_topk)]
    notes = _compare(*(side.run() for side in sides))
    return Report(
        f'selection: top {sizes.topk}, forward and backward, {sizes.frames} frames x '
        f'{sizes.patches} patches x {sizes.samples} samples',
        notes,
        measure(sides, repeats),
    )


def _compare(ours: tuple[Tensor, Tensor], plain: tuple[Tensor, Tensor]) -> list[str]:
    notes = []
    for name, found, expected in zip(('indicators', 'gradients'), ours, plain, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        notes.append(f'{name} differ by at most {(found - expected).abs().max():.1e}')
    return notes
