"""Say in one line why a video cannot be read."""

import os
import re

import cv2
from decord import DECORDError

__all__ = ['DECODING_ERRORS', 'DecoderEndedError', 'UnreadableVideoError', 'unreadable_reason']

# what DecordInit, DecordDecode and RawFrameDecode raise on a bad file
DECODING_ERRORS = (DECORDError, RuntimeError, OSError, MemoryError, cv2.error)
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
    'The size must exactly match': 'decord cannot read frames of this width (16 or 48 pixels)',
}
# [12:30:59] /path/of/source.cc:61:, several times in one message
DECORD_LOCATION = re.compile(r'\[[\d:]+\] \S+\.(?:cc|h):\d+: ')


class DecoderEndedError(RuntimeError):
    """A decoding process that a video has crashed, or that was ended for its sake."""


class UnreadableVideoError(RuntimeError):
    """A video file that cannot be decoded; the message names the file and the reason.

    Args:
        message: For people.
        reason: The reason alone, in one line.
    """

    def __init__(self, message: str, *, reason: str = '') -> None:
        super().__init__(message)
        self.reason = reason or message

    @classmethod
    def of(cls, filename: str, reason: str) -> 'UnreadableVideoError':
        """Return the error for a file."""
        return cls(f'cannot read video {filename}: {reason}', reason=reason)


def unreadable_reason(filename: str, error: Exception) -> str:
    """Turn what a decoder raised into one line a user can act on."""
    if isinstance(error, DecoderEndedError):
        return str(error)
    if not os.path.exists(filename):
        return 'the file does not exist'
    if os.path.isdir(filename) and isinstance(error, cv2.error):
        return 'a picture in it is damaged'
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
