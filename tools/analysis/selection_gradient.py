"""Measure how noisy the gradient is from which the token selection learns."""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ts2net_mm.utils.cli import positive_float, positive_int, require_path, run

if TYPE_CHECKING:
    from mmengine.config import Config

    from ts2net_mm.engine.selection_gradient import Estimator, GradientStatistics
    from ts2net_mm.models import TS2Net

EPILOG = """\
Batches of the training data go through the model with the same weights, again and
again with other noise in the selection. Without a checkpoint the weights are those
that a training with this seed begins with. The rows are the straight-through
gradient, which has no noise, and both gradients of the perturbed top-K for each sigma
and number of samples.

Columns:
  norm    of the expected gradient: that of the scores of a batch (the root of its mean
          square), that of the weights for all data
  noise   standard deviation of a draw of the same batch
  data    standard deviation of the expected gradient from batch to batch
  both    noise and data together
  cosine  of the expected gradients, the mean of the batches; - if noise hides them

exit codes: 0 done, 1 error, 2 wrong arguments

example:
  python tools/analysis/selection_gradient.py configs/ts2net_small-objects.py \\
      work_dirs/small/epoch_10.pth --sigma 0.01 0.05 --samples 10 100
"""
SCORES = (
    '| scores | sigma | samples | norm | noise | norm / noise | cosine with straight-through '
    '| cosine with full |'
)
WEIGHTS = (
    '| weights | sigma | samples | norm | noise | data | norm / both '
    '| cosine with straight-through | cosine with full |'
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', type=Path, help='config file of a model with TokenSelection')
    parser.add_argument('checkpoint', type=Path, nargs='?', help='weights (default: random)')
    parser.add_argument(
        '--sigma',
        type=positive_float,
        nargs='+',
        default=[0.01, 0.05, 0.25],
        help='standard deviations of the noise on the scores (default: 0.01 0.05 0.25)',
    )
    parser.add_argument(
        '--samples',
        type=positive_int,
        nargs='+',
        default=[10, 100, 400],
        help='numbers of noise samples, from 2 (default: 10 100 400)',
    )
    parser.add_argument(
        '--draws', type=positive_int, default=8, help='draws of a batch, from 2 (default: 8)'
    )
    parser.add_argument(
        '--batches', type=positive_int, default=8, help='batches, from 2 (default: 8)'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of random weights, batches and noise (default: 0)'
    )
    args = parser.parse_args(argv)
    for name in ('samples', 'draws', 'batches'):
        given = getattr(args, name)
        if min(given if isinstance(given, list) else [given]) < 2:
            parser.error(f'--{name}: expected at least 2')
    return args


def report(args: argparse.Namespace) -> None:
    """Measure and print both tables."""
    for name in filter(None, (args.config, args.checkpoint)):
        require_path('config' if name == args.config else 'checkpoint', name)
    from mmengine.config import Config

    from ts2net_mm.engine.selection_gradient import Estimator, measure_gradients

    cfg = Config.fromfile(args.config)
    model = build_model(cfg, args)
    batches = load_batches(cfg, args)
    settings = itertools.product(dict.fromkeys(args.sigma), dict.fromkeys(args.samples))
    pairs = itertools.product(settings, ('diagonal', 'full'))
    estimators = [Estimator(), *(Estimator(gradient, *own) for own, gradient in pairs)]
    found = measure_gradients(model, batches, estimators, draws=args.draws)
    print(f'{args.batches} batches of {cfg.train_dataloader.batch_size}, {args.draws} draws each')
    for part, header in enumerate((SCORES, WEIGHTS)):
        print(f'\n{header}\n{"| --- " * (header.count("|") - 1)}|')
        for estimator in estimators:
            statistics = {each: both[part] for each, both in found.items()}
            print(format_row(estimator, statistics, with_data=header == WEIGHTS))


def build_model(cfg: Config, args: argparse.Namespace) -> TS2Net:
    """Build the model with its weights."""
    from mmaction.registry import MODELS
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope
    from mmengine.runner import set_random_seed

    from ts2net_mm.checkpoints import load_weights
    from ts2net_mm.models import TokenSelection

    MMLogger.get_instance('selection_gradient', log_level='ERROR')  # else weights are logged
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    set_random_seed(args.seed)
    model: Any = MODELS.build(cfg.model)
    if not isinstance(getattr(model, 'neck', None), TokenSelection):
        name = type(getattr(model, 'neck', model)).__name__
        raise ValueError(f'config {args.config}: {name} learns no scores, expected TokenSelection')
    if args.checkpoint is None:
        model.init_weights()
    else:
        load_weights(model, args.checkpoint)
    return model


def load_batches(cfg: Config, args: argparse.Namespace) -> list[Any]:
    """Load the first batches of the training data."""
    from mmengine.runner import Runner

    loader = Runner.build_dataloader(cfg.train_dataloader, seed=args.seed)
    batches = list(itertools.islice(loader, args.batches))
    if len(batches) < args.batches:
        raise ValueError(
            f'config {args.config}: the training data has {len(batches)} batches, '
            f'expected --batches {args.batches}'
        )
    return batches


def format_row(
    estimator: Estimator, statistics: Mapping[Estimator, GradientStatistics], *, with_data: bool
) -> str:
    """Lay out the numbers of an estimator."""
    from ts2net_mm.engine.selection_gradient import Estimator

    own = statistics[estimator]
    if with_data:
        norm, spreads = own.signal, [own.noise, own.data]
    else:
        norm, spreads = own.signal_of_batches, [own.noise]
    both = math.hypot(*spreads)
    numbers = [f'{value:.3g}' for value in (norm, *spreads)]
    numbers.append(f'{norm / both:.2f}' if both else '-')
    settings = [estimator.gradient or 'straight-through', '-', '-']
    cosines = [math.nan, math.nan]
    if estimator.gradient is not None:
        settings[1:] = [f'{estimator.sigma:g}', str(estimator.num_samples)]
        cosines[0] = own.cosine(statistics[Estimator()])
    if estimator.gradient == 'diagonal':
        full = Estimator('full', estimator.sigma, estimator.num_samples)
        cosines[1] = own.cosine(statistics[full])
    cells = ['-' if math.isnan(value) else f'{value:.2f}' for value in cosines]
    return f'| {" | ".join([*settings, *numbers, *cells])} |'


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run(report, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
