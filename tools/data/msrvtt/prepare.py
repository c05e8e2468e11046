"""Prepare MSR-VTT: both training splits, the 1kA test and the full test."""

import argparse
import sys
from collections.abc import Sequence


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only MSR-VTT has."""
    from ts2net_mm.preparation.readers.msrvtt import SPLITS

    parser.add_argument(
        '--splits',
        nargs='+',
        choices=SPLITS,
        default=(),
        help='write these only, and need only their files (default: all for which files are there)',
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare and return the exit code."""
    from ts2net_mm.preparation import read_msrvtt, run_preparation

    return run_preparation(
        read_msrvtt, argv, description=__doc__, out='data/msrvtt', add_arguments=add_arguments
    )


if __name__ == '__main__':
    sys.exit(main())
