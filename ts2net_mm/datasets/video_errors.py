"""Say in one line why a video cannot be read."""

import os
import re

from decord import DECORDError

__all__ = ['DECODING_ERRORS', 'UnreadableVideoError', 'unreadable_reason']

# what DecordInit and DecordDecode raise on a bad file
DECODING_ERRORS = (DECORDError, RuntimeError, OSError)
# [12:30:59] /path/of/source.cc:61:, several times in one message
DECORD_LOCATION = re.compile(r'\[[\d:]+\] \S+\.(?:cc|h):\d+: ')


class UnreadableVideoError(RuntimeError):
    """A video file that cannot be decoded; the message names the file and the reason."""


def unreadable_reason(filename: str, error: Exception) -> str:
    """Turn what a decoder raised into one line a user can act on."""
    if not os.path.exists(filename):
        return 'the file does not exist'
    if os.path.isdir(filename):
        return 'it is a folder'
    if not os.access(filename, os.R_OK):
        return 'no permission to read it'
    if os.path.getsize(filename) == 0:
        return 'the file is empty'
    text = str(error).strip()
    if 'cannot find video stream' in text:
        return 'it has no video stream'
    if 'Cannot create buffer source' in text:
        return 'it has no frames that can be decoded'
    if text.startswith('Error reading'):
        return 'it is damaged or no video'
    first_line = DECORD_LOCATION.sub('', text).splitlines()[0] if text else 'no further reason'
    return f'{type(error).__name__}: {first_line}'
