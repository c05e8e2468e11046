"""bf16 training on any device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmaction.registry import OPTIM_WRAPPERS
from mmengine.optim import OptimWrapper
from mmengine.runner import autocast
from torch import nn

__all__ = ['AutocastOptimWrapper']


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Compute the forward pass in bf16 where torch's autocast does; weights and steps stay fp32.

    bf16 has the range of fp32, so no loss scaling is needed. MMEngine's ``AmpOptimWrapper``, which
    has one, refuses to run on a CPU. The arguments are those of MMEngine's OptimWrapper.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass of a training step."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
