"""From the video file to the batch: each stage, several workers, and how long a step waits.

Clips of 15 seconds of H.264 in two sizes are read by the pipeline of the recipe, 12 frames of each,
and from a frame store that was made of them.
"""

import contextlib
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import torch
from as_released import build_model
from complexity import complexity
from frame_store import Work, clips
from mmaction.registry import DATASETS
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from report import Table

from ts2net_mm.engine.loops import repeatable_loader

__all__ = ['Sizes', 'build_loader', 'run', 'sources', 'time_batches']

PICTURE = 'jpeg'
GPU_FLOPS = 800e12  # of a large GPU, bf16 without sparsity
UTILISATION = 0.4


@dataclass(frozen=True)
class Sizes:
    """What is read and trained on."""

    clips: tuple[tuple[int, int], ...] = ((320, 240), (1280, 720))
    number: int = 4
    batch: int = 8
    batches: int = 512  # of an epoch
    seconds: float = 6.0  # of reading
    workers: tuple[int, ...] = (0, 1, 2)
    training_workers: int = 2
    training_steps: int = 6  # more batches than the workers prefetch


def run(
    repeats: int, sizes: Sizes | None = None, model_cfg: ConfigDict | dict | None = None
) -> Iterator[Table]:
    """Measure stages, loaders and a training."""
    sizes = sizes or Sizes()
    init_default_scope('mmaction')
    with tempfile.TemporaryDirectory() as folder, one_opencv_thread():
        work, datasets = sources(Path(folder), sizes)
        measured = stages(datasets, sizes, repeats)
        yield measured
        yield loaders(datasets, sizes, repeats)
        yield waiting(work, datasets, sizes, model_cfg)
        yield demand(measured, work.cfg)


@contextlib.contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Let OpenCV use one thread, as in a training."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def sources(folder: Path, sizes: Sizes) -> tuple[Work, dict[str, dict]]:
    """Write the clips and a store of each size; give the config of the data set of each."""
    datasets = {}
    for width, height in sizes.clips:
        place = folder / f'{width}x{height}'
        place.mkdir()
        work = clips(place, sizes.number, (width, height), guarded=True)
        datasets[f'files, {width} x {height}'] = work.dataset
        datasets[f'store, {width} x {height}'] = work.stored(PICTURE)
    return work, datasets


def stages(datasets: dict[str, dict], sizes: Sizes, repeats: int) -> Table:
    """Run the steps of the pipeline by themselves, without workers."""
    found: dict[str, dict[str, float]] = {}
    for name, config in datasets.items():
        times: dict[str, list[float]] = {}
        dataset = DATASETS.build(config)
        for _ in range(repeats):
            items = []
            for index in range(len(dataset)):
                item = dataset.get_data_info(index)
                for step in dataset.pipeline.transforms:
                    item = timed(times, stage_of(step), lambda: step(item))  # noqa: B023
                items.append(item)
            batches = [items[i : i + sizes.batch] for i in range(0, len(items), sizes.batch)]
            for batch in batches:
                timed(times, 'collating', lambda: pseudo_collate(batch))  # noqa: B023
        count = repeats * len(dataset)
        found[name] = {stage: 1e3 * sum(seconds) / count for stage, seconds in times.items()}
    names = list(dict.fromkeys(stage for one in found.values() for stage in one))
    rows: list[list[Any]] = [
        [stage, *(one.get(stage, 0.0) for one in found.values())] for stage in names
    ]
    totals = [sum(one.values()) for one in found.values()]
    rows.append(['together', *totals])
    rows.append(['videos a second', *(1e3 / total for total in totals)])
    return Table(
        'stages of the pipeline: milliseconds a video, one process, mean of all clips',
        [f'{sizes.number} clips of each size, {repeats} rounds; store: {PICTURE.upper()}'],
        ['', *found],
        rows,
    )


def stage_of(step: Any) -> str:
    """Name the stage of a step of the pipeline."""
    name = type(step).__name__
    if name.endswith('Init'):
        return 'opening'
    if name.endswith('Decode'):
        return 'decoding'
    return 'resizing' if name == 'CLIPResize' else 'sampling, text and packing'


def timed(times: dict[str, list[float]], stage: str, work: Callable[[], Any]) -> Any:
    """Run something and note how long it took."""
    start = time.perf_counter()
    result = work()
    times.setdefault(stage, []).append(time.perf_counter() - start)
    return result


def build_loader(dataset: dict, sizes: Sizes, workers: int) -> Any:
    """The loader of a training, on as many items as the batches need."""
    times = -(-sizes.batches * sizes.batch // sizes.number)
    config = dict(
        batch_size=sizes.batch,
        num_workers=workers,
        persistent_workers=workers > 0,
        drop_last=True,
        sampler=dict(type='DefaultSampler', shuffle=True),
        dataset=dict(type='RepeatDataset', dataset=dataset, times=times),
    )
    return repeatable_loader(Runner.build_dataloader(config, seed=0))


def time_batches(loader: Any, seconds: float) -> tuple[float, float]:
    """Read for some seconds; give the time to the first batch, and the batches a second later on.

    The clock starts and stops when each worker has given equally many batches.
    """
    workers = max(loader.num_workers, 1)
    start, marks = time.perf_counter(), []
    for count, _ in enumerate(loader, start=1):
        if count == 1:
            first = time.perf_counter() - start
        if count % workers == 0:
            marks.append(time.perf_counter())
            if len(marks) > 1 and marks[-1] - marks[0] > seconds:
                break
    return first, workers * (len(marks) - 1) / (marks[-1] - marks[0])


def loaders(datasets: dict[str, dict], sizes: Sizes, repeats: int) -> Table:
    """Read with several workers; all sources in turn."""
    speeds: dict[tuple[str, int], list[float]] = {}
    starts: dict[tuple[str, int], list[float]] = {}
    for _ in range(repeats):
        for workers in sizes.workers:
            for name, dataset in datasets.items():
                first, speed = time_batches(build_loader(dataset, sizes, workers), sizes.seconds)
                speeds.setdefault((name, workers), []).append(speed * sizes.batch)
                starts.setdefault((name, workers), []).append(first)
    rows: list[list[Any]] = [
        [name, *(median(speeds[name, workers]) for workers in sizes.workers)] for name in datasets
    ]
    for name in datasets:
        other = name.replace('files', 'store')
        if other != name:
            ratios = [median(speeds[other, w]) / median(speeds[name, w]) for w in sizes.workers]
            rows.append([f'store / {name}', *ratios])
    slowest = {w: max(median(starts[name, w]) for name in datasets) for w in sizes.workers}
    started = ', '.join(f'{seconds:.2f} s' for seconds in slowest.values())
    return Table(
        f'loader: videos a second, batches of {sizes.batch}, median of {repeats} rounds',
        [f'until the first batch, workers started: at most {started}'],
        ['', *(f'{workers} workers' for workers in sizes.workers)],
        rows,
    )


def waiting(
    work: Work, datasets: dict[str, dict], sizes: Sizes, model_cfg: ConfigDict | dict | None
) -> Table:
    """Train ViT-B/32, and note how long each step waits for its batch."""
    rows = []
    for name, dataset in list(datasets.items())[-2:]:  # the largest clips
        model = build_model(model_cfg or work.cfg.model)
        optim_wrapper = build_optim_wrapper(model, work.cfg.optim_wrapper)
        loader = iter(build_loader(dataset, sizes, sizes.training_workers))
        waits, times = [], []
        for _ in range(1 + sizes.training_steps):
            start = time.perf_counter()
            batch = next(loader)
            waits.append(time.perf_counter() - start)
            model.train_step(batch, optim_wrapper)
            times.append(time.perf_counter() - start)
        # the first step of a run waits for the workers to start and allocates the moments
        share = sum(waits[1:]) / sum(times[1:])
        rows.append([name, waits[0], 1e3 * median(waits[1:]), median(times[1:]), f'{share:.2%}'])
        del model, optim_wrapper, loader
    return Table(
        f'training: {sizes.batch} videos a step, {sizes.training_workers} workers, '
        f'{torch.get_num_threads()} threads for the model',
        [f'{sizes.training_steps} steps after the first'],
        ['', 'first wait, s', 'wait, ms', 'step, s', 'share of the time'],
        rows,
    )


def demand(measured: Table, cfg: Config) -> Table:
    """How many workers, each on a core like this one, keep a GPU busy that trains in bf16."""
    counts = complexity(cfg, frames=12, words=32)
    flops = 3 * 2 * sum(operations for _, operations in counts.values())
    speeds = [rate / flops for rate in (GPU_FLOPS * UTILISATION, GPU_FLOPS)]
    rows = []
    for name, speed in zip(measured.columns[1:], measured.rows[-1][1:], strict=True):
        rows.append([name, speed, *(math.ceil(needed / speed) for needed in speeds)])
    shares = [f'{share:.0%} utilisation' for share in (UTILISATION, 1)]
    return Table(
        f'workers for a GPU with {GPU_FLOPS / 1e12:.0f} bf16 TFLOP/s, by arithmetic',
        [
            f'{flops / 1e9:.0f} GFLOP a video and its sentence in training, three times the '
            f'forward pass: {speeds[0]:,.0f} videos a second at {shares[0]}, {speeds[1]:,.0f} at '
            f'{shares[1]}'
        ],
        ['', 'videos a second and worker', *(f'workers at {share}' for share in shares)],
        rows,
    )
