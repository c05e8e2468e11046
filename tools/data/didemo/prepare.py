"""Prepare DiDeMo: training, validation and test, a paragraph each video."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare and return the exit code."""
    from ts2net_mm.preparation import read_didemo, run_preparation

    return run_preparation(read_didemo, argv, description=__doc__, out='data/didemo')


if __name__ == '__main__':
    sys.exit(main())
