"""BertAdam, the optimiser of the released recipe."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import torch
from mmaction.registry import OPTIMIZERS
from torch import Tensor
from torch.optim import Optimizer

__all__ = ['BertAdam']

CLIP_EPS = 1e-6  # as in torch.nn.utils.clip_grad_norm_
CHUNK_ELEMENTS = 2**20  # updated together; bounds the size of the temporary copies
Tensors = list[Tensor] | tuple[Tensor, ...]


@OPTIMIZERS.register_module()
class BertAdam(Optimizer):
    """Adam without bias correction, with decoupled weight decay and a clip for each tensor.

    Unlike the original, it has no schedule of its own: the learning rate comes from a scheduler.
    Many tensors are updated at a time; the result is bit-identical to a loop over them.

    Args:
        params: Parameters or groups of them.
        lr: Learning rate.
        betas: Decay rates of the first and the second moment.
        eps: Added to the square root of the second moment.
        weight_decay: Decoupled decay, multiplied by the learning rate.
        max_grad_norm: Each tensor's gradient is clipped to this L2 norm; 0 for no clip.
        fp16_arithmetic: Compute the whole step in fp16, moments included, as the released code does
            for CLIP's matrices. The second moment of small gradients underflows there, so the step
            is far larger than in fp32. The parameter itself may be fp32; it then holds fp16 values.
            Can be set per group.

    Raises:
        ValueError: If a setting is out of range or, in a step, a gradient is not dense.
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
        for name, value, is_valid, expected in ranges:
            if not is_valid:
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
        """Restore the moments in the precision in which they are computed."""
        super().load_state_dict(state_dict)
        # torch casts them to the parameter's dtype, which would turn fp16 arithmetic into fp32
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
            for params in _chunks(_with_gradient(group['params'])):
                self._update(params, group)
        return loss

    def _update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        dtypes = [_arithmetic_dtype(param, group) for param in params]
        first, second = self._moments(params, dtypes)
        grads: Tensors = _cast([cast(Tensor, param.grad) for param in params], dtypes)
        if group['max_grad_norm']:
            grads = _clip(grads, group['max_grad_norm'])
        # the order of operations is that of the release, so that the result is bit-identical
        beta1, beta2 = group['betas']
        _scale(first, beta1)
        torch._foreach_add_(first, grads, alpha=1 - beta1)
        _scale(second, beta2)
        torch._foreach_addcmul_(second, grads, grads, value=1 - beta2)
        roots = torch._foreach_sqrt(second)
        torch._foreach_add_(roots, group['eps'])
        updates = torch._foreach_div(first, roots)
        values = _cast(params, dtypes)
        if group['weight_decay']:
            torch._foreach_add_(updates, torch._foreach_mul(values, group['weight_decay']))
        _scale(updates, group['lr'])
        torch._foreach_sub_(values, updates)
        if group['fp16_arithmetic']:  # else the values are the parameters themselves
            torch._foreach_copy_(params, values)

    def _moments(
        self, params: list[Tensor], dtypes: list[torch.dtype]
    ) -> tuple[list[Tensor], list[Tensor]]:
        states = [self.state[param] for param in params]
        for param, state, dtype in zip(params, states, dtypes, strict=True):
            if not state:
                state['exp_avg'] = torch.zeros_like(param, dtype=dtype)
                state['exp_avg_sq'] = torch.zeros_like(param, dtype=dtype)
        return [state['exp_avg'] for state in states], [state['exp_avg_sq'] for state in states]


def _arithmetic_dtype(param: Tensor, group: dict[str, Any]) -> torch.dtype:
    return torch.float16 if group['fp16_arithmetic'] else param.dtype


def _with_gradient(params: Iterable[Tensor]) -> Iterator[Tensor]:
    for param in params:
        if param.grad is None:
            continue
        if param.grad.layout != torch.strided:
            raise ValueError(
                f'BertAdam needs dense gradients, but the gradient of a parameter of shape '
                f'{tuple(param.shape)} is {param.grad.layout}'
            )
        yield param


def _chunks(params: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Split parameters into chunks, so that a step never copies the whole model at once."""
    chunk: list[Tensor] = []
    size = 0
    for param in params:
        if chunk and size + param.numel() > CHUNK_ELEMENTS:
            yield chunk
            chunk, size = [], 0
        chunk.append(param)
        size += param.numel()
    if chunk:
        yield chunk


def _cast(tensors: list[Tensor], dtypes: list[torch.dtype]) -> list[Tensor]:
    """Convert each tensor; a tensor that has the dtype already is returned itself, not copied."""
    return [tensor.to(dtype) for tensor, dtype in zip(tensors, dtypes, strict=True)]


def _scale(tensors: Tensors, factor: float) -> None:
    """Multiply in place."""
    for tensor in tensors:  # torch._foreach_mul_ would first round the factor to fp16, on the CPU
        tensor.mul_(factor)


def _clip(grads: Tensors, max_norm: float) -> Tensors:
    """Scale copies of gradients down to the L2 norm ``max_norm`` each, in their own precision."""
    norms = torch._foreach_norm(grads)
    torch._foreach_add_(norms, CLIP_EPS)
    factors = torch._foreach_mul(torch._foreach_reciprocal(norms), max_norm)
    torch._foreach_clamp_max_(factors, 1.0)
    return torch._foreach_mul(grads, factors)
