"""Products of a linear layer; in fp32 on a CPU with AVX-512 oneDNN computes them."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

__all__ = ['matmul', 'product_linear']


def product_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Apply a linear layer, without a graph for its gradient.

    Shape:
        - x: (N, I), weight: (O, I), bias: (O,) -> (N, O)
    """
    if _in_onednn(x):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, 'none', [], '')
    return F.linear(x, weight, bias)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Multiply two matrices: (N, K), (K, M) -> (N, M), without a graph for the gradient."""
    if not _in_onednn(a):
        return a @ b
    if a.numel() > b.numel() and not a.is_contiguous():
        # a transposed first factor is copied: rather copy the smaller one
        return product_linear(b.t(), a).t()
    return product_linear(a, b.t())


def _in_onednn(x: Tensor) -> bool:
    # MKL, which torch takes otherwise, uses AVX-512 on processors of Intel alone
    return (
        x.dtype is torch.float32
        and x.device.type == 'cpu'
        and torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == 'AVX512'
        and not is_in_torch_dispatch_mode()  # such as torch's counter of operations
    )
