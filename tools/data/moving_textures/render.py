"""Render the moving-textures data set: videos of which only the movement has a meaning."""

import sys

from ts2net_mm.rendered.command import run_command
from ts2net_mm.rendered.moving_textures import Difficulty, moving_textures


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(moving_textures, Difficulty, title=__doc__)


if __name__ == '__main__':
    sys.exit(main())
