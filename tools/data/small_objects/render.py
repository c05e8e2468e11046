"""Render the small-objects data set: sentences about a small shape among large ones."""

import sys

from ts2net_mm.rendered.command import run_command
from ts2net_mm.rendered.small_objects import Difficulty, small_objects


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(small_objects, Difficulty, title=__doc__)


if __name__ == '__main__':
    sys.exit(main())
