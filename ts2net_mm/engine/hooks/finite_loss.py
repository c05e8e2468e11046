"""Stop as soon as the loss is lost."""

import math
from collections.abc import Mapping
from typing import Any

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

__all__ = ['FiniteLossHook', 'NotFiniteError']


class NotFiniteError(FloatingPointError):
    """Training has met NaN or infinity."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """End the run at the first loss or gradient that is NaN or infinite, before it is saved.

    The numbers are those that MMEngine has taken from the device for its log. The norm of the
    gradients is known where ``clip_grad`` is set; fp16 training skips infinite gradients itself.

    Raises:
        NotFiniteError: With the iteration, the videos of the batch and the last checkpoint.
    """

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Look at the losses and at the norm of the gradients."""
        values = {name: _number(value) for name, value in (outputs or {}).items()}
        scalars = runner.message_hub.log_scalars
        if 'train/grad_norm' in scalars and not hasattr(runner.optim_wrapper, 'loss_scaler'):
            values['grad_norm'] = _number(scalars['train/grad_norm'].current())
        bad = [f'{name} is {value}' for name, value in values.items() if not math.isfinite(value)]
        if bad:
            last = runner.message_hub.get_info('last_ckpt')
            raise NotFiniteError(
                f'{", ".join(bad)} at iteration {runner.iter + 1} (epoch {runner.epoch + 1}, batch '
                f'{batch_idx + 1}); the batch of process {runner.rank} holds '
                f'{", ".join(_names(data_batch)) or "no named videos"}; '
                + (f'the last checkpoint is {last}' if last else 'there is no checkpoint yet')
            )


def _number(value: Any) -> float:
    return value.item() if isinstance(value, Tensor) else float(value)


def _names(data_batch: Any) -> list[str]:
    samples = data_batch.get('data_samples') or [] if isinstance(data_batch, Mapping) else []
    return [str(sample.get('filename') or sample.get('video_id')) for sample in samples]
