"""Time and memory against batch, frames, patches, texts, videos and workers, one at a time."""

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pipeline
import torch
from as_released import CONFIGS, build_model
from measuring import Measurement, Side, saved_bytes, watch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from report import Table, format_bytes, format_seconds
from train_step import Sizes as Batch
from train_step import draw_batch

from ts2net_mm.models import TS2Net
from ts2net_mm.models.heads import FrameWeightedSimilarity

__all__ = ['Sizes', 'run']

MODELS = ('ts2net_msrvtt.py', 'ts2net_vit-b16_msrvtt.py')
COLUMNS = ['', 'size', 'CPU time', 'of the first', 'memory', 'of the first']


@dataclass(frozen=True)
class Sizes:
    """The sizes of each sweep, and those that stay the same in the others."""

    batches: tuple[int, ...] = (1, 2, 4)
    frames: tuple[int, ...] = (6, 12, 24, 48)
    frames_otherwise: int = 12
    words: int = 32
    texts: tuple[int, ...] = (1000, 2000, 4000, 8000)
    videos: tuple[int, ...] = (1000, 2000, 4000)
    clips: pipeline.Sizes = pipeline.Sizes(clips=((320, 240),), number=8, workers=(0, 1, 2, 4))


@dataclass(frozen=True)
class Point:
    """A size, and what it took."""

    size: int
    seconds: float
    memory: int | None


def run(
    repeats: int, sizes: Sizes | None = None, model_cfgs: Sequence[dict] | None = None
) -> Iterator[Table]:
    """Measure training, similarity and loading."""
    sizes = sizes or Sizes()
    init_default_scope('mmaction')
    yield training(sizes, repeats, model_cfgs)
    yield similarity(sizes, repeats)
    with tempfile.TemporaryDirectory() as folder, pipeline.one_opencv_thread():
        _, datasets = pipeline.sources(Path(folder), sizes.clips)
        yield pipeline.loaders(datasets, sizes.clips, repeats)


def training(sizes: Sizes, repeats: int, model_cfgs: Sequence[dict] | None) -> Table:
    """Forward and backward pass; the memory is what is kept between them, without weights."""
    first, frames = sizes.batches[0], sizes.frames_otherwise
    configs = model_cfgs or [Config.fromfile(CONFIGS / name).model for name in MODELS]
    points = []
    for model in map(build_model, configs[::-1]):  # the last one is that of the other sweeps
        patches = model.backbone.pos_embed.shape[1] - 1
        batch = Batch(first, frames, sizes.words)
        points.append(training_point(model, patches, batch, repeats))
    sweeps = {
        'patches of a frame': points[::-1],
        'videos of a batch': [
            training_point(model, size, Batch(size, frames, sizes.words), repeats)
            for size in sizes.batches
        ],
        'frames of a video': [
            training_point(model, size, Batch(first, size, sizes.words), repeats)
            for size in sizes.frames
        ],
    }
    title = (
        f'training: forward and backward pass; otherwise ViT-B/32, {first} video of {frames} frames'
    )
    return sweep_table(title, sweeps)


def training_point(model: TS2Net, size: int, batch: Batch, repeats: int) -> Point:
    """Measure a forward and backward pass."""
    inputs = model.data_preprocessor(draw_batch(model, batch), training=True)['inputs']

    def forward() -> torch.Tensor:
        return torch.stack(list(model.loss(inputs).values())).sum()

    def forward_backward() -> None:
        model.zero_grad()
        forward().backward()

    memory = saved_bytes(forward, without=model.parameters())
    return Point(size, cpu_time(forward_backward, repeats), memory)


def cpu_time(work: Callable[[], Any], repeats: int) -> float:
    """Median of the processor time, after a run to warm up."""
    measurement = Measurement(Side('', work))
    work()
    for _ in range(repeats):
        measurement.run_once()
    return measurement.median_cpu


@torch.no_grad()
def similarity(sizes: Sizes, repeats: int) -> Table:
    """Scores of all texts and videos of 12 frames; the memory is the growth of the process."""
    compare = FrameWeightedSimilarity()
    generator = torch.Generator().manual_seed(0)
    text = torch.randn(sizes.texts[-1], 512, generator=generator)
    frames = torch.randn(sizes.videos[-1], 12, 512, generator=generator)
    mask = torch.ones(frames.shape[:2], dtype=torch.bool)

    def point(size: int, texts: int, videos: int) -> Point:
        def score() -> torch.Tensor:
            return compare(text[:texts], frames[:videos], mask[:videos])

        seconds = cpu_time(score, repeats)
        memory = watch(score)[1]
        return Point(size, seconds, memory.growth if memory else None)

    texts, videos = sizes.texts[0], sizes.videos[0]
    sweeps = {
        'texts': [point(size, size, videos) for size in sizes.texts],
        'videos': [point(size, texts, size) for size in sizes.videos],
    }
    return sweep_table(f'similarity: {texts} texts and {videos} videos otherwise', sweeps)


def sweep_table(title: str, sweeps: dict[str, list[Point]]) -> Table:
    """Rows of all sweeps, and the exponents of their growth."""
    rows, notes = [], []
    for name, points in sweeps.items():
        first = points[0]
        for one in points:
            memory = '' if not (one.memory and first.memory) else f'{one.memory / first.memory:.2f}'
            row = [
                name,
                one.size,
                format_seconds(one.seconds),
                f'{one.seconds / first.seconds:.2f}',
            ]
            rows.append([*row, format_bytes(one.memory), memory])
        notes.append(f'{name}: time grows with the power {exponent(points):.2f} of the size')
    return Table(title, notes, COLUMNS, rows)


def exponent(points: Sequence[Point]) -> float:
    """Slope between the first and the last point, both axes logarithmic."""
    first, last = points[0], points[-1]
    return math.log(last.seconds / first.seconds) / math.log(last.size / first.size)
