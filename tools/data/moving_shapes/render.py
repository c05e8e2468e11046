"""Render the moving-shapes data set: real .mp4 files with captions, train, val and test."""

import sys

from ts2net_mm.rendered.command import main
from ts2net_mm.rendered.moving_shapes import MOVING_SHAPES

if __name__ == '__main__':
    sys.exit(main(lambda: MOVING_SHAPES, title=__doc__))
