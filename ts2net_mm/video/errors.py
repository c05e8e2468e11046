"""Errors of videos that cannot be read, and their reasons in one line."""

import os
import re

import cv2
from decord import DECORDError

__all__ = ['DECODING_ERRORS', 'DecoderEndedError', 'UnreadableVideoError', 'unreadable_reason']

# raised by DecordInit, DecordDecode and RawFrameDecode on a bad file
DECODING_ERRORS = (DECORDError, RuntimeError, OSError, MemoryError, cv2.error)
# parts of decord's messages, whose errors have no types of their own, and what they mean
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
# such as "[12:30:59] /path/of/source.cc:61: ", several times in a message
DECORD_LOCATION = re.compile(r'\[[\d:]+\] \S+\.(?:cc|h):\d+: ')


class DecoderEndedError(RuntimeError):
    """The decoding process crashed on a video, or was killed because it took too long."""


class UnreadableVideoError(RuntimeError):
    """A video file that cannot be decoded; the message names the file and the reason.

    Args:
        message: The whole message.
        reason: The reason alone, in one line; the message by default.
    """

    def __init__(self, message: str, *, reason: str = '') -> None:
        super().__init__(message)
        self.reason = reason or message

    @classmethod
    def from_reason(cls, filename: str, reason: str) -> 'UnreadableVideoError':
        """Return the error of a file."""
        return cls(f'cannot read video {filename}: {reason}', reason=reason)


def unreadable_reason(filename: str, error: Exception) -> str:
    """Describe what a decoder raised in one line that a user can act on."""
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
