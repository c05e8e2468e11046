"""Scores of all texts and videos against loops that encode the videos again for each text."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from measuring import Measurement, Side, measure, watch
from report import Report, format_bytes
from torch import Tensor

from ts2net_mm.models.heads import FrameWeightedSimilarity
from ts2net_mm.models.temporal import TemporalTransformer

__all__ = ['LargeSizes', 'Sizes', 'run', 'run_alone', 'run_large']

TEMPERATURE = 4.0
Encode = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Sizes:
    """What is compared; blocks are the pairs that a loop runs before it is extrapolated."""

    texts: int = 1000
    videos: int = 1000
    frames: int = 12
    tokens: int = 4
    dims: int = 512
    layers: int = 4
    heads: int = 8
    batch: int = 16
    pair_block: int = 8
    alone_block: int = 32

    def scale(self, block: int) -> float:
        """How many blocks of this many texts and videos make the whole."""
        return self.texts * self.videos / block**2


@dataclass(frozen=True)
class LargeSizes:
    """A test set that must fit into 4 GB."""

    texts: int = 20_000
    videos: int = 5_000
    frames: int = 12
    dims: int = 512


def block_scores(text: Tensor, frames: Tensor, frame_mask: Tensor) -> Tensor:
    """Compute the frame-weighted similarity as its formula reads: (n, D), (m, T, D) -> (n, m)."""
    mask = frame_mask[..., None]
    cosines = F.normalize(frames, dim=-1) @ F.normalize(text, dim=-1).T  # (m, T, n)
    cosines = cosines.masked_fill(~mask, 0.0)
    logits = TEMPERATURE * cosines / cosines.norm(dim=1, keepdim=True)
    weights = logits.masked_fill(~mask, float('-inf')).softmax(dim=1)
    return (weights * cosines).sum(dim=1).T


def loop_over_blocks(
    encode: Encode, text: Tensor, video: Tensor, frame_mask: Tensor, batch: int
) -> Tensor:
    """Score block after block of ``batch`` texts and videos; each encodes its videos anew."""
    rows = []
    for some_text in text.split(batch):
        videos = zip(video.split(batch), frame_mask.split(batch), strict=True)
        rows.append(
            torch.cat([block_scores(some_text, encode(*some), some[1]) for some in videos], 1)
        )
    return torch.cat(rows)


@torch.no_grad()
def run(repeats: int, sizes: Sizes | None = None) -> Report:
    """Measure from the selected tokens to the scores."""
    sizes = sizes or Sizes()
    torch.manual_seed(0)
    temporal = TemporalTransformer(
        embed_dims=sizes.dims, num_layers=sizes.layers, num_heads=sizes.heads
    )
    temporal.init_weights()
    temporal.eval()
    similarity = FrameWeightedSimilarity(temperature=TEMPERATURE)
    text = torch.randn(sizes.texts, sizes.dims)
    tokens = torch.randn(sizes.videos, sizes.frames, sizes.tokens, sizes.dims)
    mask = torch.ones(sizes.videos, sizes.frames, dtype=torch.bool)

    def ours() -> Tensor:
        batches = zip(tokens.split(sizes.batch), mask.split(sizes.batch), strict=True)
        frames = torch.cat([temporal(*batch) for batch in batches])
        return similarity(text, frames, mask)

    def loop(block: int, batch: int) -> Side:
        def score() -> Tensor:
            return loop_over_blocks(temporal, text[:block], tokens[:block], mask[:block], batch)

        name = 'pair loop' if batch == 1 else f'loop of {batch} x {batch}'
        return Side(name, score, scale=sizes.scale(block))

    sides = [Side('ts2net_mm', ours), loop(sizes.pair_block, 1), loop(sizes.batch, sizes.batch)]
    return Report(
        f'similarity: {sizes.texts} texts x {sizes.videos} videos of {sizes.frames} frames, with '
        f'the {sizes.layers} blocks of the temporal transformer',
        _compare(*(side.run() for side in sides)),
        measure(sides, repeats),
    )


@torch.no_grad()
def run_alone(repeats: int, sizes: Sizes | None = None) -> Report:
    """Measure from the frame features to the scores, without the temporal transformer."""
    sizes = sizes or Sizes()
    torch.manual_seed(0)
    similarity = FrameWeightedSimilarity(temperature=TEMPERATURE)
    text = torch.randn(sizes.texts, sizes.dims)
    frames = torch.randn(sizes.videos, sizes.frames, sizes.dims)
    mask = torch.ones(sizes.videos, sizes.frames, dtype=torch.bool)
    block = sizes.alone_block

    def pairs() -> Tensor:
        return loop_over_blocks(
            lambda video, _: video, text[:block], frames[:block], mask[:block], 1
        )

    sides = [
        Side('ts2net_mm', lambda: similarity(text, frames, mask)),
        Side('formula, all at once', lambda: block_scores(text, frames, mask)),
        Side('matrix products', lambda: text @ frames.flatten(0, 1).T),
        Side('pair loop', pairs, scale=sizes.scale(block)),
    ]
    compared = [side.run() for side in sides if side.name != 'matrix products']
    return Report(
        f'similarity alone: {sizes.texts} texts x {sizes.videos} videos of {sizes.frames} frames',
        _compare(*compared),
        measure(sides, repeats),
    )


@torch.no_grad()
def run_large(sizes: LargeSizes | None = None) -> Report:
    """Measure time and memory of one large similarity matrix, once."""
    sizes = sizes or LargeSizes()
    torch.manual_seed(0)
    similarity = FrameWeightedSimilarity(temperature=TEMPERATURE)
    text = torch.randn(sizes.texts, sizes.dims)
    frames = torch.randn(sizes.videos, sizes.frames, sizes.dims)
    mask = torch.ones(sizes.videos, sizes.frames, dtype=torch.bool)
    measurement = Measurement(Side('ts2net_mm', lambda: similarity(text, frames, mask)))
    scores, memory = watch(measurement.run_once)
    last = block_scores(text[-8:], frames[-8:], mask[-8:])
    notes = _compare(scores[-8:, -8:], last)
    if memory:
        measurement.peak = memory.growth
        notes.append(
            f'the process held {format_bytes(memory.before)} before (libraries and features), and '
            f'{format_bytes(memory.peak)} at the peak; 4 GB are {format_bytes(4 * 10**9)}'
        )
    return Report(
        f'similarity, large: {sizes.texts} texts x {sizes.videos} videos of {sizes.frames} frames, '
        'once',
        notes,
        [measurement],
    )


def _compare(ours: Tensor, *loops: Tensor) -> list[str]:
    differences = []
    for scores in loops:
        rows, columns = scores.shape
        torch.testing.assert_close(ours[:rows, :columns], scores, rtol=1e-4, atol=1e-5)
        differences.append((ours[:rows, :columns] - scores).abs().max())
    return [f'scores differ by at most {torch.stack(differences).max():.1e}']
