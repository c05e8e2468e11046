"""Where the processor time of a training step goes: matrix products, and everything else."""

from collections.abc import Callable, Sequence
from typing import Any

from as_released import OURS, our_step, released_step
from report import Table
from torch.profiler import ProfilerActivity, profile
from train_step import Sizes

__all__ = ['run']

PRODUCTS = (
    'aten::mm',
    'aten::addmm',
    'aten::bmm',
    'aten::baddbmm',
    'aten::mkldnn_convolution',
    'aten::_scaled_dot_product_flash_attention_for_cpu',
    'aten::_scaled_dot_product_flash_attention_for_cpu_backward',
    'mkldnn::_linear_pointwise',
)
SHOWN = 12  # other operations


def run(sizes: Sizes | None = None, model_cfg: dict | None = None) -> Table:
    """Profile a step after two others, here and of the model shaped as the released code."""
    sizes = sizes or Sizes()
    name, config = next(iter(OURS.items()))
    sides = {
        name: seconds_by_operation(our_step(config, sizes, model_cfg).run),
        'shaped as released': seconds_by_operation(released_step(sizes, model_cfg).run),
    }
    return Table(
        f'operations of a train step: {sizes.videos} videos x {sizes.frames} frames, seconds',
        [f'{name}: {share_of_products(found):.1%} in products' for name, found in sides.items()],
        ['', *(column for name in sides for column in (name, 'share'))],
        _rows(list(sides.values())),
        [f'matrix products: {", ".join(name.split("::")[1] for name in PRODUCTS)}'],
    )


def seconds_by_operation(step: Callable[[], Any]) -> dict[str, float]:
    """Seconds that each operation takes itself, without those that it calls."""
    for _ in range(2):
        step()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        step()
    return {event.key: event.self_cpu_time_total / 1e6 for event in profiler.key_averages()}


def share_of_products(seconds: dict[str, float]) -> float:
    """The part of the whole that matrix products take, attention and convolution included."""
    return sum(seconds.get(key, 0.0) for key in PRODUCTS) / sum(seconds.values())


def _rows(sides: list[dict[str, float]]) -> list[list[Any]]:
    totals = [sum(seconds.values()) for seconds in sides]
    others = {key for seconds in sides for key in seconds if key not in PRODUCTS}
    largest = sorted(others, key=lambda key: -max(seconds.get(key, 0.0) for seconds in sides))
    groups: dict[str, Sequence[str]] = {
        'matrix products': PRODUCTS,
        **{key: (key,) for key in largest[:SHOWN]},
    }
    groups |= {'others': largest[SHOWN:], 'all': (*PRODUCTS, *others)}
    rows = []
    for label, keys in groups.items():
        row: list[Any] = [label.removeprefix('autograd::engine::evaluate_function: ')]
        for seconds, total in zip(sides, totals, strict=True):
            found = sum(seconds.get(key, 0.0) for key in keys)
            row += [f'{found:.2f}', f'{found / total:.1%}']
        rows.append(row)
    return rows
