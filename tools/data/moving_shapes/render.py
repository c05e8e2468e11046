"""Render the moving-shapes data set: real .mp4 files with captions, train, val and test."""

import sys

from ts2net_mm.rendered.command import run_command
from ts2net_mm.rendered.moving_shapes import MOVING_SHAPES


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(lambda: MOVING_SHAPES, title=__doc__)


if __name__ == '__main__':
    sys.exit(main())
