"""The learning rate schedule of the released recipe."""

import math
from typing import Any

from mmaction.registry import PARAM_SCHEDULERS
from mmengine.optim import _ParamScheduler

__all__ = ['WarmupCosineLR']


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(_ParamScheduler):
    """Linear warm-up from 0, then the half cosine of the whole run, warm-up included.

    With x the fraction of the run that is done, the factor is x / warmup_ratio during warm-up and
    0.5 (1 + cos(pi x)) after it. The rate is set before every iteration. ``end``, the number of
    iterations of the run, comes from the training loop, also when a run is resumed: with more
    epochs than before, the rate follows the longer schedule. With gradient accumulation x counts
    updates, so all iterations of one update have the same rate.

    Args:
        optimizer: Optimiser or wrapper whose rates are set.
        warmup_ratio: Fraction of the run that warms up; 0.1 in the release.
        last_step: Step to resume from.
        begin: First iteration.
        end: Last iteration.
        by_epoch: Must be False.
        verbose: Print every change.

    Raises:
        ValueError: If ``by_epoch`` is True or ``warmup_ratio`` is not in [0, 1).
    """

    # read from the config, not from the checkpoint, when a run is resumed
    resumes_with = ('begin', 'end', 'warmup_ratio')

    def __init__(
        self,
        optimizer: Any,
        *,
        warmup_ratio: float = 0.1,
        begin: int = 0,
        end: int,
        last_step: int = -1,
        by_epoch: bool = False,
        verbose: bool = False,
    ) -> None:
        if by_epoch:
            raise ValueError('WarmupCosineLR counts iterations, set by_epoch=False')
        if not 0 <= warmup_ratio < 1:
            raise ValueError(f'warmup_ratio={warmup_ratio} must be at least 0 and below 1')
        self.warmup_ratio = warmup_ratio
        super().__init__(optimizer, 'lr', begin, end, last_step, by_epoch, verbose)

    def load_state_dict(self, state_dict: dict) -> None:
        """Restore the position in the run, and set the rate for that position."""
        own = {name: getattr(self, name) for name in self.resumes_with}
        super().load_state_dict(state_dict | own)
        if (
            self.begin <= self._global_step < self.end
        ):  # it stopped counting at the end of a shorter run
            self.last_step = self._global_step - self.begin
        for group, value in zip(self.optimizer.param_groups, self._get_value(), strict=True):
            group['lr'] = value

    def _get_value(self) -> list[float]:
        # MMEngine's OptimWrapper has no public name for it
        accumulated = getattr(self.optimizer, '_accumulative_counts', 1)
        first_of_update = self.last_step - self.last_step % accumulated
        progress = first_of_update / (self.end - self.begin)
        if progress < self.warmup_ratio:
            factor = progress / self.warmup_ratio
        else:
            factor = 0.5 * (1 + math.cos(math.pi * progress))
        return [base * factor for base in self.base_values]
