"""Parts of a block that compute cheap results again in the backward pass instead of keeping them.

What autograd would keep of a LayerNorm, a linear layer and an activation one after another is one
tensor each. The functions here keep the input and, of an MLP, what its activation gets.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .products import matmul, product_linear

__all__ = ['Activation', 'find_activation', 'linear', 'norm_heads', 'norm_mlp']

aten = torch.ops.aten
# glibc keeps freed memory of this size for the next tensor; from 32 MiB on the system takes it back
PART_BYTES = 2**24


@dataclass(frozen=True)
class Activation:
    """An activation of the form ``run(scale * x) / scale``.

    Args:
        scale: QuickGELU, x * sigmoid(1.702 x), is SiLU with a scale of 1.702.
        run: Computes it.
        backward: Multiplies a gradient by its derivative, in place: gradient, input of ``run``.
    """

    scale: float
    run: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]


def _silu_backward(grad: Tensor, x: Tensor) -> Tensor:
    return aten.silu_backward.grad_input(grad, x, grad_input=grad)


def _gelu_backward(grad: Tensor, x: Tensor) -> Tensor:
    return aten.gelu_backward.grad_input(grad, x, grad_input=grad)


QUICK_GELU = Activation(1.702, F.silu, _silu_backward)
GELU = Activation(1.0, F.gelu, _gelu_backward)


def find_activation(module: nn.Module) -> Activation | None:
    """The functions of QuickGELU or exact GELU, None for any other activation."""
    if type(module).__name__ == 'QuickGELU':  # of mmpretrain, which does not export it
        return QUICK_GELU
    return GELU if isinstance(module, nn.GELU) and module.approximate == 'none' else None


def linear(x: Tensor, layer: nn.Linear) -> Tensor:
    """Apply a linear layer: (..., I) -> (..., O)."""
    return _Linear.apply(*_autocast(x, x, layer.weight, layer.bias))


def norm_heads(x: Tensor, norm: nn.LayerNorm, layer: nn.Linear, num_heads: int) -> list[Tensor]:
    """Normalise, and compute query, key and value of each head.

    Shape:
        - x: (N, L, D) -> 3 x (N, heads, L, D / heads)
    """
    weights = _autocast(x, layer.weight, layer.bias)
    return _NormHeads.apply(x, norm.weight, norm.bias, norm.eps, *weights, num_heads)


def norm_mlp(
    x: Tensor, norm: nn.LayerNorm, first: nn.Linear, second: nn.Linear, activation: Activation
) -> Tensor:
    """Normalise, apply an MLP and add the input: (N, L, D) -> (N, L, D)."""
    weights = _autocast(x, first.weight, first.bias, second.weight, second.bias)
    return _NormMLP.apply(x, norm.weight, norm.bias, norm.eps, *weights, activation)


def _autocast(x: Tensor, *tensors: Tensor) -> list[Tensor]:
    """Convert tensors as autocast does for a linear layer on the device of x."""
    kind = x.device.type
    # the meta device has no autocast, and raises an error when asked whether it is on
    if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
        return list(tensors)
    return [tensor.to(torch.get_autocast_dtype(kind)) for tensor in tensors]


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product_linear(x.flatten(0, -2), weight, bias).view(*x.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        rows, grad = x.flatten(0, -2), grad.flatten(0, -2)
        grad_x = matmul(grad, weight).view_as(x) if ctx.needs_input_grad[0] else None
        grad_weight = matmul(grad.t(), rows) if ctx.needs_input_grad[1] else None
        return grad_x, grad_weight, grad.sum(0)


class _NormHeads(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        norm_weight: Tensor,
        norm_bias: Tensor,
        eps: float,
        weight: Tensor,
        bias: Tensor,
        num_heads: int,
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(x, norm_weight, norm_bias, weight)
        ctx.eps = eps
        rows = _normalise(x, norm_weight, norm_bias, eps)[0].to(weight.dtype)
        parts = zip(weight.chunk(3), bias.chunk(3), strict=True)
        heads = [product_linear(rows, *part).unflatten(-1, (num_heads, -1)) for part in parts]
        return tuple(part.unflatten(0, x.shape[:2]).transpose(1, 2) for part in heads)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, norm_weight, norm_bias, weight = ctx.saved_tensors
        rows, *statistics = _normalise(x, norm_weight, norm_bias, ctx.eps)
        rows = rows.to(weight.dtype)
        parts = [grad.transpose(1, 2).reshape(rows.shape) for grad in grads]
        grad_weight = None
        if ctx.needs_input_grad[4]:
            grad_weight = torch.cat([matmul(part.t(), rows) for part in parts])
        grad_bias = torch.cat([part.sum(0) for part in parts])
        grad_rows = [matmul(*pair) for pair in zip(parts, weight.chunk(3), strict=True)]
        total = grad_rows[0].add_(grad_rows[1]).add_(grad_rows[2])
        grad_norm = _normalise_backward(total, x, norm_weight, norm_bias, *statistics)
        return *grad_norm, None, grad_weight, grad_bias, None


class _NormMLP(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        norm_weight: Tensor,
        norm_bias: Tensor,
        eps: float,
        weight1: Tensor,
        bias1: Tensor,
        weight2: Tensor,
        bias2: Tensor,
        activation: Activation,
    ) -> Tensor:
        rows = _normalise(x, norm_weight, norm_bias, eps)[0].to(weight1.dtype)
        out, hidden = x.new_empty(x.shape), []
        for part, identity, result in _parts(weight1, rows, x.flatten(0, -2), out.flatten(0, -2)):
            hidden.append(product_linear(part, weight1, bias1).mul_(activation.scale))
            added = product_linear(activation.run(hidden[-1]), weight2, activation.scale * bias2)
            torch.add(identity, added, alpha=1 / activation.scale, out=result)
        ctx.save_for_backward(x, norm_weight, norm_bias, weight1, weight2, *hidden)
        ctx.eps, ctx.activation = eps, activation
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, norm_weight, norm_bias, weight1, weight2, *hidden = ctx.saved_tensors
        grad_out = grad.flatten(0, -2).to(weight2.dtype)
        rows, *statistics = _normalise(x, norm_weight, norm_bias, ctx.eps)
        grad_rows: list[Tensor] = []
        sums: list[Tensor | None] = [None] * 3
        parts = _parts(weight1, rows.to(weight1.dtype), grad_out)
        for part, (inner, outer) in zip(hidden, parts, strict=True):
            one, *found = _part_backward(ctx, part, inner, outer, weight1, weight2)
            grad_rows.append(one)
            sums = [_add(*pair) for pair in zip(sums, found, strict=True)]
        grad_weight1, grad_bias1, grad_weight2 = sums
        if grad_weight2 is not None:
            grad_weight2.div_(ctx.activation.scale)
        total = torch.cat(grad_rows) if len(grad_rows) > 1 else grad_rows[0]
        grad_x, *grad_norm = _normalise_backward(total, x, norm_weight, norm_bias, *statistics)
        weights = grad_weight1, grad_bias1, grad_weight2, grad_out.sum(0)
        return grad_x.add_(grad), *grad_norm, None, *weights, None


def _part_backward(
    ctx: Any, hidden: Tensor, rows: Tensor, grad: Tensor, weight1: Tensor, weight2: Tensor
) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
    """Gradients of some rows: of the rows, the first weight and bias, the second weight."""
    activation, grad_weight1, grad_weight2 = ctx.activation, None, None
    if ctx.needs_input_grad[6]:
        grad_weight2 = matmul(grad.t(), activation.run(hidden))
    # the two scales, before and behind the activation, cancel out
    grad_hidden = activation.backward(matmul(grad, weight2), hidden)
    if ctx.needs_input_grad[4]:
        grad_weight1 = matmul(grad_hidden.t(), rows)
    return matmul(grad_hidden, weight1), grad_weight1, grad_hidden.sum(0), grad_weight2


def _add(total: Tensor | None, new: Tensor | None) -> Tensor | None:
    return new if total is None or new is None else total.add_(new)


def _parts(weight: Tensor, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Split rows, so that the hidden layer of a part is small; not on a GPU."""
    length = max(1, len(tensors[0]))
    if weight.device.type == 'cpu':
        length = max(1, PART_BYTES // (len(weight) * weight.element_size()))
    return zip(*(tensor.split(length) for tensor in tensors), strict=True)


def _normalise(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
    """Normalised rows (N * L, D), and mean and inverse deviation of each."""
    return torch.native_layer_norm(x.flatten(0, -2), weight.shape, weight, bias, eps)


def _normalise_backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, deviation: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    rows = x.flatten(0, -2)
    grad_rows, grad_weight, grad_bias = aten.native_layer_norm_backward(
        grad.to(x.dtype), rows, weight.shape, mean, deviation, weight, bias, [True] * 3
    )
    return grad_rows.view_as(x), grad_weight, grad_bias
