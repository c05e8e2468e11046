"""Say in one line why a video cannot be read."""

import os
import re

from decord import DECORDError

__all__ = ['DECODING_ERRORS', 'UnreadableVideoError', 'unreadable_reason']

# what DecordInit and DecordDecode raise on a bad file
DECODING_ERRORS = (DECORDError, RuntimeError, OSError)
# what decord says (its messages have no types), and what it means for the owner of the file
DECORD_REASONS = {
    'cannot find video stream': 'it has no video stream (audio only?)',
    'Cannot create buffer source': 'it has no frames that can be decoded',
    'Error reading': 'it is damaged or no video',
    'Failed to measure duration': 'it states no length (a picture, or damaged)',
    'Unable to handle EOF': 'it is damaged: it ends before its last frame',
    'av_read_frame failed': 'it is damaged or cut off',
    'sending packet': 'it is damaged: frames cannot be decoded',
    'Error getting frame': 'it is damaged: frames cannot be decoded',
}
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
    for sign, reason in DECORD_REASONS.items():
        if sign in text:
            return reason
    first_line = DECORD_LOCATION.sub('', text).splitlines()[0] if text else 'no further reason'
    return f'{type(error).__name__}: {first_line}'
