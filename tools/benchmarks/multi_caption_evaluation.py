"""How long does a test with many captions a video take, and how much memory?

From the features of a model to all metrics in both directions, as `TextVideoRetrievalMetric`
computes them, with and without inverted softmax; and the matrix products of the same features
alone, which no implementation of the similarity can do without. Features are random; a caption
resembles its video.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from measuring import Measurement, Side, describe_machine, watch
from mmengine.logging import MMLogger
from report import Report, format_bytes
from torch import Tensor

from ts2net_mm.evaluation import TextVideoRetrievalMetric
from ts2net_mm.evaluation.query_bank import QueryBank

__all__ = ['Sizes', 'run']

MAX_RATIO = 3  # time with inverted softmax, in that of the matrix products
MAX_GROWTH = 3 * 2**29  # bytes above the features
PRODUCT_ELEMENTS = 2**22  # of a matrix product at a time
LOGIT_SCALE = 100.0
RESEMBLANCE = 0.2


@dataclass(frozen=True)
class Sizes:
    """A test set; the numbers of captions of its videos differ."""

    videos: int = 2990  # the full test split of MSR-VTT
    texts: int = 59_800
    frames: int = 12
    dims: int = 512
    queries: int = 0


def draw_predictions(sizes: Sizes) -> list[dict]:
    """Draw what the model returns for each video."""
    generator = torch.Generator().manual_seed(0)
    spare = sizes.texts - sizes.videos  # each video has a caption at least
    extra = np.random.default_rng(0).multinomial(spare, np.full(sizes.videos, 1 / sizes.videos))
    samples = []
    for video, count in enumerate(1 + extra):
        frames = torch.randn(sizes.frames, sizes.dims, generator=generator)
        noise = torch.randn(int(count), sizes.dims, generator=generator)
        features = dict(
            frame_features=frames,
            frame_mask=torch.ones(sizes.frames, dtype=torch.bool),
            text_features=RESEMBLANCE * frames[:1] + noise,
            logit_scale=LOGIT_SCALE,
            similarity=dict(type='FrameWeightedSimilarity'),
        )
        samples.append(dict(video_id=f'{video}.mp4', features=features))
    return samples


def evaluate(
    samples: Sequence[dict], bank: Tensor | None = None, *, inverted_softmax: bool = True
) -> dict[str, float]:
    """Run the metric from the predictions on."""
    settings = None if bank is None else dict(ann_file='drawn at random')
    metric = TextVideoRetrievalMetric(inverted_softmax=inverted_softmax, query_bank=settings)
    if bank is not None:
        names = [f'query {index}' for index in range(len(bank))]
        metric.receive_bank(QueryBank(captions=names, video_ids=names), bank)
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def multiply(texts: Tensor, frames: Tensor) -> Tensor:
    """Multiply all texts with all frames, (N, D) and (M * T, D), in memory that is used again."""
    rows = max(1, PRODUCT_ELEMENTS // len(frames))
    buffer = texts.new_empty(rows, len(frames))
    for part in texts.split(rows):
        torch.mm(part, frames.T, out=buffer[: len(part)])
    return buffer


def run(repeats: int, sizes: Sizes | None = None) -> Report:
    """Measure evaluations and matrix products in turn; the first round shows the memory."""
    sizes = sizes or Sizes()
    samples = draw_predictions(sizes)
    generator = torch.Generator().manual_seed(1)
    bank = torch.randn(sizes.queries, sizes.dims, generator=generator) if sizes.queries else None
    features = [sample['features'] for sample in samples]
    texts, frames = (
        torch.cat([feature[key] for feature in features])
        for key in ('text_features', 'frame_features')
    )
    normalised, plain, products = measurements = [
        Measurement(Side('inverted softmax', partial(evaluate, samples, bank))),
        Measurement(Side('plain', partial(evaluate, samples, inverted_softmax=False))),
        Measurement(Side('matrix products', partial(multiply, texts, frames))),
    ]
    outputs = []
    for one in measurements:
        output, memory = watch(one.run_once)
        outputs.append(output)
        one.peak = memory.growth if memory else None
    for _ in range(repeats - 1):
        for one in measurements:
            one.run_once()
    assert outputs[0].items() >= outputs[1].items()
    bank_note = f', {sizes.queries} queries in the bank' if sizes.queries else ''
    title = (
        f'evaluation: {sizes.texts} texts of {sizes.videos} videos of {sizes.frames} frames, '
        f'{sizes.dims} channels{bank_note}'
    )
    notes = [f'{key} is {outputs[0][key]:.1f}' for key in ('t2v/R1', 'v2t/R1', 't2v_dsl/R1')]
    return Report(title, notes + _judge(normalised, plain, products), measurements)


def _judge(normalised: Measurement, plain: Measurement, products: Measurement) -> list[str]:
    ratio = normalised.median / products.median
    notes = [
        f'inverted softmax takes {ratio:.2f} times the matrix products (the limit is {MAX_RATIO}), '
        f'{normalised.median_cpu / products.median_cpu:.2f} times in CPU time',
        f'plain takes {plain.median / products.median:.2f} times the matrix products, '
        f'{plain.median_cpu / products.median_cpu:.2f} times in CPU time',
    ]
    is_within = ratio <= MAX_RATIO
    if normalised.peak is not None:
        notes.append(
            f'inverted softmax adds {format_bytes(normalised.peak)} to the features (the limit is '
            f'{format_bytes(MAX_GROWTH)})'
        )
        is_within = is_within and normalised.peak <= MAX_GROWTH
    return [*notes, 'within the limits' if is_within else 'NOT within the limits']


def _whole(least: int, text: str) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f'{text} is not a whole number of at least {least}')
    return int(text)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    leasts = dict(videos=2, texts=2, frames=1, dims=1, queries=0)
    for name, least in leasts.items():
        default = getattr(Sizes, name)
        kind = partial(_whole, least)
        parser.add_argument(f'--{name}', type=kind, default=default, help=f'default: {default}')
    positive = partial(_whole, 1)
    parser.add_argument('--repeats', type=positive, default=3, help='rounds (default: 3)')
    parser.add_argument('--threads', type=positive, help="threads of torch (default: torch's)")
    args = parser.parse_args(argv)
    if args.texts < args.videos:
        parser.error(f'--texts {args.texts} is less than one for each of --videos {args.videos}')
    if args.threads:
        torch.set_num_threads(args.threads)
    MMLogger.get_instance('benchmarks', log_level='ERROR')  # else each evaluation is logged
    print(f'{describe_machine()}; rounds: {args.repeats}', flush=True)
    sizes = Sizes(**{name: getattr(args, name) for name in leasts})
    print(f'\n{run(args.repeats, sizes)}')


if __name__ == '__main__':
    main()
