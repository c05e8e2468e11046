"""Keep CLIP's logit scale in its range."""

import math
from typing import Any

import torch
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

__all__ = ['LogitScaleClampHook']


@HOOKS.register_module()
class LogitScaleClampHook(Hook):
    """Limit the factor on the cosines after each step; CLIP and the released recipe stop at 100.

    The parameter is found by its name, ``logit_scale``, so that the hook serves MMAction2's
    ``CLIPSimilarity`` too. A model without one trains as it does without the hook.

    Args:
        max_scale: Largest factor (not its logarithm).

    Raises:
        ValueError: If ``max_scale`` is not positive.
    """

    def __init__(self, *, max_scale: float = 100.0) -> None:
        if max_scale <= 0:
            raise ValueError(f'max_scale={max_scale} must be positive')
        self.max_log_scale = math.log(max_scale)

    @torch.no_grad()
    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Clamp the parameter in place."""
        for name, parameter in runner.model.named_parameters():
            if name.rpartition('.')[2] == 'logit_scale':
                parameter.clamp_(max=self.max_log_scale)
