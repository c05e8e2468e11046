"""Prepare VATEX: the split that papers on retrieval use, or VATEX's own."""

import argparse
import sys
from collections.abc import Sequence


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only VATEX has."""
    parser.add_argument(
        '--language',
        choices=('en', 'zh'),
        default='en',
        help="language of the captions; Chinese ones are in VATEX's own files (default: en)",
    )
    parser.add_argument(
        '--second-test-list',
        action='store_true',
        help='test on the 1,500 videos of test1k5_sec_list.txt instead of those of test_list.txt',
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare and return the exit code."""
    from ts2net_mm.preparation import read_vatex, run_preparation

    return run_preparation(
        read_vatex, argv, description=__doc__, out='data/vatex', add_arguments=add_arguments
    )


if __name__ == '__main__':
    sys.exit(main())
