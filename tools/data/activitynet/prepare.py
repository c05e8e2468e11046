"""Prepare ActivityNet Captions: training and val_1 as test, a paragraph each video."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare and return the exit code."""
    from ts2net_mm.preparation import read_activitynet, run_preparation

    return run_preparation(read_activitynet, argv, description=__doc__, out='data/activitynet')


if __name__ == '__main__':
    sys.exit(main())
