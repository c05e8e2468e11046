"""Compare the parts of TS2-Net with their plain forms, side by side in one process."""

import argparse
import sys
from collections.abc import Callable, Sequence

import selection
import similarity
import torch
import train_step
from measuring import describe_machine
from mmengine.logging import MMLogger
from report import Report

from ts2net_mm.utils.cli import positive_int

BENCHMARKS: dict[str, tuple[Callable[[int], Report], ...]] = {
    'selection': (selection.run,),
    'similarity': (similarity.run, similarity.run_alone),
    'train-step': (train_step.run,),
}


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'names',
        nargs='*',
        metavar='BENCHMARK',
        help=f'{", ".join(BENCHMARKS)} (default: all of them)',
    )
    parser.add_argument('--repeats', type=positive_int, default=5, help='rounds (default: 5)')
    parser.add_argument('--threads', type=positive_int, help="threads of torch (default: torch's)")
    parser.add_argument(
        '--large',
        action='store_true',
        help='also compute one similarity matrix of 20,000 texts and 5,000 videos',
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = build_parser()
    args = parser.parse_args(argv)
    unknown = [name for name in args.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f'no benchmark is named {unknown[0]}, choose from {", ".join(BENCHMARKS)}')
    if args.threads:
        torch.set_num_threads(args.threads)
    MMLogger.get_instance('benchmarks', log_level='ERROR')  # else each drawn weight is logged
    print(f'{describe_machine()}; rounds: {args.repeats}', flush=True)
    for name in args.names or BENCHMARKS:
        for benchmark in BENCHMARKS[name]:
            print(f'measuring {name} ...', file=sys.stderr, flush=True)
            print(f'\n{benchmark(args.repeats)}', flush=True)
    if args.large:
        print('measuring the large similarity ...', file=sys.stderr, flush=True)
        print(f'\n{similarity.run_large()}', flush=True)


if __name__ == '__main__':
    main()
