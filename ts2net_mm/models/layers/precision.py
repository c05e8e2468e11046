"""Precision of the parts that autocast must not touch."""

import torch
from torch import Tensor

__all__ = ['at_least_fp32']


def at_least_fp32(tensor: Tensor) -> Tensor:
    """Raise half precision to fp32; fp64 stays."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
