"""Matrix products, encoding and training in fp32 and bf16, and a compiled step."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from as_released import build_model, our_step
from measuring import Side, measure
from mmengine.config import Config, ConfigDict
from mmengine.optim import build_optim_wrapper
from report import Report, Table
from train_step import Sizes, draw_batch

from ts2net_mm.models import TS2Net
from ts2net_mm.models.layers.products import matmul

__all__ = ['run_compiled', 'run_encoding', 'run_products', 'run_training']

CONFIGS = Path(__file__).parents[2] / 'configs'
PRECISIONS = {'fp32': 'ts2net_msrvtt.py', 'bf16': 'features/amp_bf16.py'}


def run_products(repeats: int, rows: int = 4800, width: int = 768) -> Report:
    """Multiply the tokens of 8 videos x 12 frames with the first matrix of an MLP."""
    torch.manual_seed(0)
    x, weight = torch.randn(rows, width), torch.randn(width, 4 * width)
    half = x.bfloat16(), weight.bfloat16()
    sides = [
        Side('fp32 in the blocks', partial(matmul, x, weight)),
        Side('fp32, torch.mm', partial(torch.mm, x, weight)),
        Side('bf16, torch.mm', partial(torch.mm, *half)),
    ]
    difference = (sides[0].run() - sides[1].run()).abs().max()
    return Report(
        f'product of {rows} x {width} and {width} x {4 * width}',
        [f'both in fp32 differ by at most {difference:.1e}'],
        measure(sides, repeats),
    )


def run_encoding(
    repeats: int, sizes: Sizes | None = None, model_cfg: ConfigDict | dict | None = None
) -> Report:
    """Encode videos as tests and searches do, without and with --amp."""
    sizes = sizes or Sizes()
    model = build_model(model_cfg or Config.fromfile(CONFIGS / PRECISIONS['fp32']).model).eval()
    inputs = model.data_preprocessor(draw_batch(model, sizes), False)['inputs']
    sides = [
        Side(name, partial(encode, model, inputs, amp=name == 'bf16')) for name in ('bf16', 'fp32')
    ]
    half, full = (side.run() for side in sides)
    least = F.cosine_similarity(half, full, dim=-1).min()
    return Report(
        f'encoding of {sizes.videos} videos x {sizes.frames} frames',
        [f'the cosine of the features of a frame in both precisions is at least {least:.5f}'],
        measure(sides, repeats),
    )


@torch.inference_mode()
def encode(model: TS2Net, inputs: dict[str, Any], *, amp: bool) -> torch.Tensor:
    """Compute the features of a batch of videos."""
    with torch.autocast('cpu', enabled=amp):
        return model.encode_video(inputs['imgs'], inputs['frame_mask']).float()


def run_training(
    repeats: int, sizes: Sizes | None = None, model_cfg: ConfigDict | dict | None = None
) -> Report:
    """Run training steps in both precisions."""
    sizes = sizes or Sizes()
    jobs = {name: our_step(PRECISIONS[name], sizes, model_cfg) for name in ('bf16', 'fp32')}
    return Report(
        f'train step: {sizes.videos} videos x {sizes.frames} frames',
        [f'loss before the first step, computed in fp32: {jobs["fp32"].output():.6f}'],
        measure([Side(name, job.run) for name, job in jobs.items()], repeats),
    )


def run_compiled(
    sizes: Sizes | None = None,
    model_cfg: ConfigDict | dict | None = None,
    backend: str = 'inductor',
) -> Table:
    """Time a plain and a compiled model, also with a batch of another size, as the last may be."""
    sizes = sizes or Sizes()
    cfg = Config.fromfile(CONFIGS / PRECISIONS['fp32'])
    batches = [sizes, Sizes(max(1, sizes.videos - 3), sizes.frames, sizes.words)]
    rows = []
    for name in ('plain', 'compiled'):
        model = build_model(model_cfg or cfg.model)
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        if name == 'compiled':
            compiled = torch.compile(model.forward, backend=backend)
            setattr(model, 'forward', compiled)  # noqa: B010 (as MMEngine does)
        row: list[Any] = [name]
        for size in batches:
            batch = draw_batch(model, size) | dict(data_samples=None)
            row += [f'{seconds_of(partial(model.train_step, batch, wrapper)):.1f}' for _ in 'ab']
        rows.append(row)
    columns = [f'{which}, {size.videos} videos' for size in batches for which in ('first', 'next')]
    return Table('processor time of a train step, seconds', [], ['', *columns], rows)


def seconds_of(step: partial) -> float:
    """Processor time, that of child processes which compile not included."""
    start = time.process_time()
    step()
    return time.process_time() - start
