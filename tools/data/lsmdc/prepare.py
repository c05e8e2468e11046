"""The old path of ``tools/data/prepare.py lsmdc``, until 0.2."""

import sys

from ts2net_mm.preparation.command import main_of_old_path

if __name__ == '__main__':
    sys.exit(main_of_old_path('lsmdc'))
