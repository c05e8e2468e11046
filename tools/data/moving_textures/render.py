"""Render the moving-textures data set: videos of which only the movement has a meaning."""

import sys

from ts2net_mm.rendered.command import main
from ts2net_mm.rendered.moving_textures import Difficulty, moving_textures

if __name__ == '__main__':
    sys.exit(main(moving_textures, Difficulty, title=__doc__))
