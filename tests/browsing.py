"""What tests in a browser share, besides the fixture ``browser``."""

import time
from collections.abc import Callable

TIMEOUT = 60.0  # seconds, for machines that do other things as well
CURRENT_TIME = 'video => video.currentTime'


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until something is true."""
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, 'it did not happen in time'
        time.sleep(0.05)
