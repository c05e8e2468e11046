"""Gather features over all processes with the true gradient."""

from typing import Any

import torch
import torch.distributed as torch_dist
from mmengine.dist import all_gather, get_rank, get_world_size
from torch import Tensor

__all__ = ['gather_with_gradient']


class _Gather(torch.autograd.Function):
    """All processes' tensors in rank order; every process's use of them counts in the gradient."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        ctx.num_rows = len(tensor)
        return torch.cat(all_gather(tensor.contiguous()))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        grad = grad.clone(memory_format=torch.contiguous_format)  # autograd may share it
        torch_dist.all_reduce(grad)
        first = get_rank() * ctx.num_rows
        return grad[first : first + ctx.num_rows]


def gather_with_gradient(tensor: Tensor) -> Tensor:
    """Concatenate a tensor of all processes along its first axis; all must have the same shape.

    The gradient is that of the sum of all processes' losses (the released code drops the other
    processes' share).

    Shape:
        - tensor: (B, ...) -> (processes x B, ...), in rank order
    """
    if get_world_size() == 1:
        return tensor
    return _Gather.apply(tensor)
