"""Prepare LSMDC: training, validation and the test of 1,000 clips."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare and return the exit code."""
    from ts2net_mm.preparation import read_lsmdc, run_preparation

    return run_preparation(read_lsmdc, argv, description=__doc__, out='data/lsmdc')


if __name__ == '__main__':
    sys.exit(main())
