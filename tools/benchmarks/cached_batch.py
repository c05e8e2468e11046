"""Compare a cached batch with as many plain steps of one chunk; count the memory of a video."""

import argparse
import copy
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from as_released import build_model
from measuring import Measurement, Side, describe_machine, saved_bytes, watch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from report import Report, Table, format_bytes
from train_step import Sizes, draw_batch

from ts2net_mm.engine.cached_batch import CachedStep
from ts2net_mm.models import TS2Net
from ts2net_mm.utils.cli import positive_int

CONFIGS = Path(__file__).parents[2] / 'configs'
MODELS_OF_THE_TABLE = {
    'ViT-B/32': 'ts2net_msrvtt.py',
    'ViT-B/16': 'ts2net_vit-b16_msrvtt.py',
}
GRADIENT_TOLERANCE = 1e-4
NO_SAMPLES: dict[str, Any] = dict(data_samples=None)
FIXED_BYTES = 16  # a weight in fp32, its gradient and two moments


def run(
    repeats: int,
    sizes: Sizes | None = None,
    chunk_size: int = 8,
    model_cfg: ConfigDict | dict | None = None,
) -> Report:
    """Measure steps of random weights: a cached batch, and plain steps of the size of its chunks.

    The memory is that of the whole process with weights, moments and the batch.
    """
    sizes = sizes or Sizes(videos=128)
    cfg = Config.fromfile(CONFIGS / 'ts2net_msrvtt.py')
    model = build_model(model_cfg or cfg.model)
    notes = [compare(copy.deepcopy(model), cfg, sizes)]
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    chunk = draw_batch(model, Sizes(chunk_size, sizes.frames, sizes.words)) | NO_SAMPLES
    plain = Side(
        f'plain steps of {chunk_size} videos',
        partial(model.train_step, chunk, optim_wrapper),
        scale=sizes.videos / chunk_size,
    )
    plain.run()  # allocates the moments
    measured = [Measurement(plain)]
    watch_once(measured[0])  # before the batch is in memory
    batch = draw_batch(model, sizes) | NO_SAMPLES
    step = CachedStep(model, optim_wrapper, chunk_size=chunk_size)
    measured.insert(0, Measurement(Side('cached batch', partial(step, batch))))
    watch_once(measured[0])
    for _ in range(repeats - 1):
        for one in measured:
            one.run_once()
    cached_peak, plain_peak = measured[0].peak, measured[1].peak
    if cached_peak and plain_peak:
        ratio = cached_peak / plain_peak
        notes.append(f'peak of the cached batch / peak of a plain step: {ratio:.2f}')
    return Report(
        f'cached batch: {sizes.videos} videos x {sizes.frames} frames, {chunk_size} at a time',
        notes,
        measured,
    )


def watch_once(measurement: Measurement) -> None:
    """Run a side once, and note its time and the most bytes of the process meanwhile."""
    memory = watch(measurement.run_once)[1]
    measurement.peak = memory.peak if memory else None


def compare(model: TS2Net, cfg: Config, sizes: Sizes) -> str:
    """Check that a cached batch of four videos has the gradients of a plain step."""
    batch = draw_batch(model, Sizes(4, sizes.frames, sizes.words)) | NO_SAMPLES
    parameters = [p for p in model.parameters() if p.requires_grad]
    found = []
    for chunk_size in (4, 2):
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        wrapper.step = lambda: None
        wrapper.zero_grad = lambda: None
        model.zero_grad()
        torch.manual_seed(1)  # the frames of two videos take whole blocks of random numbers
        loss = CachedStep(model, wrapper, chunk_size=chunk_size)(batch)['loss'].item()
        found.append((loss, [p.grad.clone() for p in parameters]))
    (loss, grads), (cached_loss, cached_grads) = found
    total = torch.stack([grad.norm() for grad in grads]).norm()
    pairs = zip(grads, cached_grads, strict=True)
    difference = torch.stack([(one - other).norm() for one, other in pairs]).norm() / total
    assert difference < GRADIENT_TOLERANCE, f'gradients differ by {difference:.1e}'
    return (
        f'4 videos, 2 at a time: loss {cached_loss:.6f}, of a plain step {loss:.6f}; the gradients '
        f'differ by {difference:.1e} of their norm'
    )


def bytes_per_video(model: TS2Net, frames: int, dtype: torch.dtype | None, words: int = 32) -> int:
    """Bytes that a video and its sentence keep for the backward pass; linear in the frames.

    The differences of three small batches do not contain the weights, which are kept as well.
    """

    def count(videos: int, frames: int) -> int:
        batch = draw_batch(model, Sizes(videos, frames, words))
        with torch.autocast('cpu', dtype, enabled=dtype is not None):
            inputs = model.data_preprocessor(batch, True)['inputs']
            return saved_bytes(lambda: model(inputs, mode='tensor'))

    base = count(1, 2)
    return count(2, 2) - base + (frames - 2) * (count(1, 4) - base) // 2


def memory_table() -> Table:
    """What a video takes on any device, and the chunks that fit GPUs, by arithmetic."""
    rows = []
    for name, config in MODELS_OF_THE_TABLE.items():
        model = build_model(Config.fromfile(CONFIGS / config).model)
        fixed = FIXED_BYTES * sum(p.numel() for p in model.parameters())
        for frames in (12, 64):
            for dtype in (None, torch.bfloat16):
                size = bytes_per_video(model, frames, dtype)
                # a tenth for the CUDA context, the allocator and temporary tensors
                chunks = [int((0.9 * gpu * 1e9 - fixed) / size) for gpu in (24, 80)]
                row = [name, frames, 'bf16' if dtype else 'fp32']
                rows.append([*row, format_bytes(size), format_bytes(fixed), *chunks])
    return Table(
        'memory of a video in training: what is kept for the backward pass',
        ['the chunks are computed from these bytes, with a tenth of the memory left'],
        [
            'model',
            'frames',
            'precision',
            'per video',
            'weights, gradients, moments',
            'chunk_size in 24 GB',
            'in 80 GB',
        ],
        rows,
    )


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--videos', type=positive_int, default=128, help='(default: 128)')
    parser.add_argument('--chunk-size', type=positive_int, default=8, help='(default: 8)')
    parser.add_argument('--frames', type=positive_int, default=12, help='(default: 12)')
    parser.add_argument('--repeats', type=positive_int, default=1, help='rounds (default: 1)')
    parser.add_argument('--threads', type=positive_int, help="threads of torch (default: torch's)")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    args = build_parser().parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    MMLogger.get_instance('benchmarks', log_level='ERROR')  # else each drawn weight is logged
    print(f'{describe_machine()}; rounds: {args.repeats}\n', flush=True)
    print(run(args.repeats, Sizes(args.videos, args.frames), args.chunk_size))


if __name__ == '__main__':
    main()
