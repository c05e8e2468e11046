"""BertAdam, the optimiser of the released recipe."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from mmaction.registry import OPTIMIZERS
from torch import Tensor
from torch.optim import Optimizer

__all__ = ['BertAdam']

CLIP_EPS = 1e-6  # as in torch.nn.utils.clip_grad_norm_


@OPTIMIZERS.register_module()
class BertAdam(Optimizer):
    """Adam without bias correction, with decoupled weight decay and a clip for each tensor.

    Unlike the original, it has no schedule of its own: the rate comes from a scheduler.

    Args:
        params: Parameters or groups of them.
        lr: Learning rate.
        betas: Decay of the first and the second moment.
        eps: Added to the root of the second moment.
        weight_decay: Decoupled decay, times the learning rate.
        max_grad_norm: Each tensor's gradient is clipped to this L2 norm; 0 for no clip.
        fp16_arithmetic: Do the whole step in fp16, moments included, as the released code does for
            CLIP's matrices. There the second moment of small gradients underflows, so the step is
            far larger than in fp32. The parameter itself may be fp32; it then holds fp16 values.
            May be set for each group.

    Raises:
        ValueError: If a setting is out of its range.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-6,
        weight_decay: float = 0.2,
        max_grad_norm: float = 1.0,
        fp16_arithmetic: bool = False,
    ) -> None:
        ranges = (
            ('lr', lr, lr >= 0, 'at least 0'),
            ('betas', betas, all(0 <= beta < 1 for beta in betas), 'from 0 to below 1'),
            ('eps', eps, eps >= 0, 'at least 0'),
            ('weight_decay', weight_decay, weight_decay >= 0, 'at least 0'),
            ('max_grad_norm', max_grad_norm, max_grad_norm >= 0, 'at least 0'),
        )
        for name, value, legal, expected in ranges:
            if not legal:
                raise ValueError(f'{name}={value} is out of range, expected {expected}')
        defaults = dict(
            lr=lr,
            betas=tuple(betas),
            eps=eps,
            weight_decay=weight_decay,
            max_grad_norm=max_grad_norm,
            fp16_arithmetic=fp16_arithmetic,
        )
        super().__init__(params, defaults)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the moments in the precision they are computed in."""
        super().load_state_dict(state_dict)
        # torch casts them to the parameter's type, which would turn fp16 arithmetic into fp32
        for group in self.param_groups:
            for param in group['params']:
                dtype = _arithmetic_dtype(param, group)
                state = self.state.get(param, {})
                state.update({key: moment.to(dtype) for key, moment in state.items()})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group['params']:
                if param.grad is not None:
                    self._update(param, param.grad, group)
        return loss

    def _update(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        dtype = _arithmetic_dtype(param, group)
        state = self.state[param]
        if not state:
            state['exp_avg'] = torch.zeros_like(param, dtype=dtype)
            state['exp_avg_sq'] = torch.zeros_like(param, dtype=dtype)
        grad = _clip(grad.to(dtype), group['max_grad_norm'])
        value = param.to(dtype)
        beta1, beta2 = group['betas']
        first, second = state['exp_avg'], state['exp_avg_sq']
        first.mul_(beta1).add_(grad, alpha=1 - beta1)
        second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        update = first / (second.sqrt() + group['eps'])
        if group['weight_decay']:
            update += group['weight_decay'] * value
        param.copy_(value - group['lr'] * update)


def _arithmetic_dtype(param: Tensor, group: dict[str, Any]) -> torch.dtype:
    return torch.float16 if group['fp16_arithmetic'] else param.dtype


def _clip(grad: Tensor, max_norm: float) -> Tensor:
    """Scale a copy of a gradient down to the L2 norm ``max_norm``, in its own precision."""
    if not max_norm:
        return grad
    factor = max_norm / (torch.linalg.vector_norm(grad) + CLIP_EPS)
    return grad * factor.clamp(max=1.0)
