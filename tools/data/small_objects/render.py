"""Render the small-objects data set: sentences about a small shape among large ones."""

import sys

from ts2net_mm.rendered.command import main
from ts2net_mm.rendered.small_objects import Difficulty, small_objects

if __name__ == '__main__':
    sys.exit(main(small_objects, Difficulty, title=__doc__))
