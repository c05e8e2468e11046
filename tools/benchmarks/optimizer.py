"""A step of BertAdam on many tensors at a time against the same rule in a loop over the tensors.

The tensors have the sizes and the groups of the recipe in configs/ts2net_msrvtt.py.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from measuring import Side, describe_machine, measure
from mmaction.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from report import Report
from torch import Tensor, nn

from ts2net_mm.engine import BertAdam
from ts2net_mm.utils.cli import positive_int

__all__ = ['run']

CONFIG = Path(__file__).parents[2] / 'configs/ts2net_msrvtt.py'
CLIP_EPS = 1e-6


class LoopBertAdam(BertAdam):
    """The same rule, one operation on one tensor at a time."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update all parameters."""
        for group in self.param_groups:
            for parameter in group['params']:
                self._step_alone(parameter, group)

    def _step_alone(self, parameter: Tensor, group: dict[str, Any]) -> None:
        dtype = torch.float16 if group['fp16_arithmetic'] else parameter.dtype
        state = self.state[parameter]
        if not state:
            for key in ('exp_avg', 'exp_avg_sq'):
                state[key] = torch.zeros_like(parameter, dtype=dtype)
        assert parameter.grad is not None
        gradient, value = parameter.grad.to(dtype), parameter.to(dtype)
        factor = group['max_grad_norm'] / (torch.linalg.vector_norm(gradient) + CLIP_EPS)
        gradient = gradient * factor.clamp(max=1.0)
        beta1, beta2 = group['betas']
        first, second = state['exp_avg'], state['exp_avg_sq']
        first.mul_(beta1).add_(gradient, alpha=1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        update = first / (second.sqrt() + group['eps'])
        if group['weight_decay']:
            update += group['weight_decay'] * value
        parameter.copy_(value - group['lr'] * update)


def run(
    repeats: int,
    *,
    fp16_arithmetic: bool,
    device: str = 'cpu',
    model_cfg: ConfigDict | dict | None = None,
) -> Report:
    """Measure steps of both forms on the same weights and gradients."""
    groups = recipe_groups(fp16_arithmetic, model_cfg)
    sizes = [parameter.numel() for group in groups for parameter in group['params']]
    optimizers = [kind(draw(groups, device), lr=1e-4) for kind in (BertAdam, LoopBertAdam)]
    sides = []
    for name, optimizer in zip(('ts2net_mm', 'loop over tensors'), optimizers, strict=True):
        sides.append(Side(name, synchronised(optimizer.step, device)))
    measurements = measure(sides, repeats)
    if device == 'cuda':
        for measurement in measurements:
            measurement.peak = None  # the host's
    arithmetic = "CLIP's matrices in fp16" if fp16_arithmetic else 'fp32'
    return Report(
        f'optimiser step, {arithmetic}: {len(sizes)} tensors of together {sum(sizes) / 1e6:.1f} '
        f'million weights, {device}',
        compare(*optimizers, steps=2 + repeats),
        measurements,
    )


def recipe_groups(
    fp16_arithmetic: bool, model_cfg: ConfigDict | dict | None = None
) -> list[dict[str, Any]]:
    """Give the recipe's parameter groups; the parameters have no memory."""
    cfg = Config.fromfile(CONFIG)
    init_default_scope('mmaction')
    cfg.optim_wrapper.paramwise_cfg.fp16_arithmetic = fp16_arithmetic
    with torch.device('meta'):
        model = MODELS.build(model_cfg or cfg.model)
    return build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups


def draw(groups: list[dict[str, Any]], device: str) -> list[dict[str, Any]]:
    """Draw weights and gradients for groups, always the same."""
    generator = torch.Generator().manual_seed(0)

    def draw_one(shape: torch.Size) -> nn.Parameter:
        parameter = nn.Parameter(0.02 * torch.randn(shape, generator=generator).to(device))
        parameter.grad = 1e-4 * torch.randn(shape, generator=generator).to(device)
        return parameter

    return [dict(group, params=[draw_one(p.shape) for p in group['params']]) for group in groups]


def synchronised(step: Callable[[], Any], device: str) -> Callable[[], None]:
    """Let a step end when the device is done with it."""

    def run_step() -> None:
        step()
        if device == 'cuda':
            torch.cuda.synchronize()

    return run_step


def compare(ours: BertAdam, loop: BertAdam, *, steps: int) -> list[str]:
    """Check that both have made the same steps; on the CPU, to the bit."""
    difference = 0.0
    for our_group, loop_group in zip(ours.param_groups, loop.param_groups, strict=True):
        for found, expected in zip(our_group['params'], loop_group['params'], strict=True):
            if found.device.type == 'cpu':
                torch.testing.assert_close(found, expected, rtol=0, atol=0)
            torch.testing.assert_close(found, expected)
            difference = max(difference, (found - expected).abs().max().item())
    return [f'after {steps} steps the weights differ by at most {difference:.1e}']


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table for each arithmetic."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--repeats', type=positive_int, default=5, help='rounds (default: 5)')
    parser.add_argument('--threads', type=positive_int, help="threads of torch (default: torch's)")
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu', help='default: cpu')
    args = parser.parse_args(argv)
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('--device cuda: torch sees no GPU')
    if args.threads:
        torch.set_num_threads(args.threads)
    MMLogger.get_instance('benchmarks', log_level='ERROR')  # else the groups are logged
    print(f'{describe_machine()}; rounds: {args.repeats}', flush=True)
    for fp16_arithmetic in (False, True):
        report = run(args.repeats, fp16_arithmetic=fp16_arithmetic, device=args.device)
        print(f'\n{report}', flush=True)


if __name__ == '__main__':
    main()
