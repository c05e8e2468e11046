"""Prepare MSR-VTT: both training splits, the 1kA test and the full test."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare and return the exit code."""
    from ts2net_mm.datasets.preparation import read_msrvtt, run_preparation

    return run_preparation(read_msrvtt, argv, description=__doc__, out='data/msrvtt')


if __name__ == '__main__':
    sys.exit(main())
