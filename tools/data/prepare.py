"""Turn a data set's official files into MMAction2's video-text JSON."""

import sys

from ts2net_mm.preparation.command import main

if __name__ == '__main__':
    sys.exit(main())
