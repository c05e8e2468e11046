"""Prepare MSVD: training, validation and test, with all captions of a video."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare and return the exit code."""
    from ts2net_mm.preparation import read_msvd, run_preparation

    return run_preparation(read_msvd, argv, description=__doc__, out='data/msvd')


if __name__ == '__main__':
    sys.exit(main())
