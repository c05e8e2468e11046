"""A device, models and batches of a size, and how steps on it are timed."""

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import torch
from as_released import build_model
from complexity import complexity
from mmengine.config import Config, ConfigDict
from mmengine.optim import OptimWrapper, build_optim_wrapper
from train_step import Sizes, draw_batch

from ts2net_mm.models import TS2Net

__all__ = [
    'CONFIGS',
    'DTYPES',
    'ROOT',
    'STEP_COLUMNS',
    'Lab',
    'matrix_rate',
    'step_row',
    'time_steps',
]

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = {'ViT-B/32': 'ts2net_msrvtt.py', 'ViT-B/16': 'ts2net_vit-b16_msrvtt.py'}
WRAPPERS = {
    'fp32': dict(),
    'bf16': dict(type='AutocastOptimWrapper'),
    'fp16': dict(type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic'),
}
DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}
STEP_COLUMNS = ['videos', 'step, ms', 'videos a second', 'TFLOP/s', 'of the matrix rate']
SMALL_MODEL = {
    'backbone.embed_dims': 32,
    'backbone.num_layers': 2,
    'backbone.num_heads': 2,
    'backbone.out_dims': 16,
    'backbone.shift_layers': (0, 1),
    'text_encoder.width': 32,
    'text_encoder.num_layers': 1,
    'text_encoder.num_heads': 2,
    'text_encoder.out_dims': 16,
    'neck.embed_dims': 16,
    'head.temporal.embed_dims': 16,
    'head.temporal.num_layers': 1,
    'head.temporal.num_heads': 2,
}


@dataclass(frozen=True)
class Lab:
    """Where and how large everything runs.

    Args:
        device: 'cuda' or 'cpu'.
        small: Whether models and data are tiny.
        folder: For rendered videos and work folders.
    """

    device: str
    small: bool
    folder: Path

    @property
    def precisions(self) -> list[str]:
        """Those that the device trains in; MMEngine scales losses on a GPU only."""
        return [name for name in WRAPPERS if name != 'fp16' or self.device == 'cuda']

    def pick(self, size: Any, small: Any) -> Any:
        """The size to use."""
        return small if self.small else size

    def config(self, name: str) -> Config:
        """Config of a model."""
        cfg = Config.fromfile(ROOT / 'configs' / CONFIGS[name])
        if self.small:
            cfg.merge_from_dict({f'model.{key}': size for key, size in SMALL_MODEL.items()})
        return cfg

    def model(self, name: str) -> TS2Net:
        """A model with random weights on the device."""
        return copy.deepcopy(_prototype(self, name)).to(self.device)

    def wrapper(self, model: TS2Net, precision: str) -> OptimWrapper:
        """The optimiser of the recipe, in a precision."""
        settings = dict(self.config('ViT-B/32').optim_wrapper, **WRAPPERS[precision])
        return build_optim_wrapper(model, ConfigDict(settings))

    def batch(self, model: TS2Net, videos: int) -> dict:
        """A batch as the data loader gives it."""
        return draw_batch(model, Sizes(videos, self.pick(12, 2), 32)) | dict(data_samples=None)

    def timed(self, work: Callable[[], Any]) -> float:
        """Seconds until the device has done the work."""
        self.wait()
        start = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - start

    def wait(self) -> None:
        """Wait for the device."""
        if self.device == 'cuda':
            torch.cuda.synchronize()

    @contextmanager
    def memory(self) -> Iterator[Callable[[], float | None]]:
        """Count the most that is allocated on a GPU, GiB."""
        if self.device != 'cuda':
            yield lambda: None
            return
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        yield lambda: torch.cuda.max_memory_allocated() / 2**30


@cache
def _prototype(lab: Lab, name: str) -> TS2Net:
    return build_model(lab.config(name).model)


@cache
def matrix_rate(lab: Lab, precision: str) -> float:
    """FLOP/s of a large matrix product."""
    size, repeats = lab.pick(8192, 256), 10
    a, b = (torch.randn(size, size, device=lab.device, dtype=DTYPES[precision]) for _ in 'ab')
    for _ in range(3):
        a @ b
    return 2 * size**3 * repeats / lab.timed(lambda: [a @ b for _ in range(repeats)])


@cache
def training_flops(lab: Lab, name: str) -> int:
    """FLOPs of a video and its sentence in training: forward, and twice that backward."""
    counts = complexity(lab.config(name), lab.pick(12, 2), 32)
    return 3 * 2 * sum(operations for _, operations in counts.values())


def time_steps(lab: Lab, step: Callable[[], Any], count: int = 5) -> tuple[float, float]:
    """Seconds of the first step, and the median of some after two more."""
    first = lab.timed(step)
    step()
    return first, median(lab.timed(step) for _ in range(count))


def step_row(lab: Lab, name: str, precision: str, videos: int, seconds: float) -> list[Any]:
    """Cells of a training step: speed, FLOPs and their share of the matrix rate."""
    flops = training_flops(lab, name) * videos / seconds
    share = f'{flops / matrix_rate(lab, precision):.1%}'
    return [videos, 1e3 * seconds, videos / seconds, flops / 1e12, share]
