"""The .mp4 format of the videos, in which no frame leaves a trace in another.

OpenCV's own mp4 writer predicts each frame from the previous one, so a moving object leaves a faint
trail and single frames show the direction of time. Here every frame is a separate JPEG picture, so
a video and its reversal decode to the same pictures.
"""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np

_JPEG_QUALITY = 80
_TICKS_PER_FRAME = 1024
_IDENTITY = struct.pack('>9I', 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def encode_mp4(frames: np.ndarray, *, fps: int) -> bytes:
    """Encode ``frames`` as Motion JPEG in an mp4 container (ISO/IEC 14496-12 and -14).

    Args:
        frames: The pictures, uint8 RGB.
        fps: Frames per second.

    Shape:
        frames: (T, H, W, 3).
    """
    settings = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    images = [cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) for frame in frames]
    pictures = [cv2.imencode('.jpg', image, settings)[1].tobytes() for image in images]
    file_type = _box(b'ftyp', b'isom', _uint32(512), b'isom', b'mp41')
    media = _box(b'mdat', *pictures)
    first_picture = len(file_type) + 8
    height, width = frames.shape[1:3]
    sample_table = _box(
        b'stbl',
        _full_box(b'stsd', _uint32(1), _sample_entry(width, height)),
        _full_box(b'stts', _uint32(1, len(pictures), _TICKS_PER_FRAME)),
        _full_box(b'stsc', _uint32(1, 1, len(pictures), 1)),
        _full_box(b'stsz', _uint32(0, len(pictures), *map(len, pictures))),
        _full_box(b'stco', _uint32(1, first_picture)),
    )
    return file_type + media + _index(sample_table, len(frames), fps, width, height)


def is_complete_mp4(path: Path) -> bool:
    """Return whether the top-level boxes, media and index among them, fill the file exactly."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    found = []
    position = 0
    while position + 8 <= len(content):
        length, kind = struct.unpack_from('>I4s', content, position)
        if length < 8:
            return False
        found.append(kind)
        position += length
    return position == len(content) and {b'mdat', b'moov'} <= set(found)


def _index(sample_table: bytes, num_frames: int, fps: int, width: int, height: int) -> bytes:
    """The ``moov`` box: one video track that is played once, from beginning to end."""
    rate = fps * _TICKS_PER_FRAME
    duration = num_frames * _TICKS_PER_FRAME
    undated = _uint32(0, 0)
    movie_header = _full_box(
        b'mvhd',
        *(undated, _uint32(rate, duration), struct.pack('>IH10x', 0x10000, 0x100)),
        *(_IDENTITY, bytes(24), _uint32(2)),
    )
    track_header = _full_box(
        b'tkhd',
        *(undated, _uint32(1, 0, duration), bytes(16)),
        *(_IDENTITY, _uint32(width << 16, height << 16)),
        flags=3,  # enabled, part of the presentation
    )
    media_header = _full_box(b'mdhd', undated, _uint32(rate, duration), b'\x55\xc4\x00\x00')
    handler = _full_box(b'hdlr', bytes(4), b'vide', bytes(12), b'video\x00')
    references = _full_box(b'dref', _uint32(1), _full_box(b'url ', flags=1))
    information = _box(
        b'minf', _full_box(b'vmhd', bytes(8), flags=1), _box(b'dinf', references), sample_table
    )
    media = _box(b'mdia', media_header, handler, information)
    return _box(b'moov', movie_header, _box(b'trak', track_header, media))


def _sample_entry(width: int, height: int) -> bytes:
    """Describe the samples as JPEG pictures (object type 0x6C) of this size."""
    decoder = struct.pack('>BB11x', 0x6C, 0x11)
    stream = struct.pack('>HxBB', 1, 4, len(decoder)) + decoder + struct.pack('>BBB', 6, 1, 2)
    descriptor = struct.pack('>BB', 3, len(stream)) + stream
    picture = struct.pack('>6xH16xHHII4xH', 1, width, height, 72 << 16, 72 << 16, 1)
    return _box(
        b'mp4v', picture, bytes(32), struct.pack('>Hh', 24, -1), _full_box(b'esds', descriptor)
    )


def _full_box(kind: bytes, *parts: bytes, flags: int = 0) -> bytes:
    return _box(kind, _uint32(flags), *parts)


def _box(kind: bytes, *parts: bytes) -> bytes:
    content = b''.join(parts)
    return _uint32(8 + len(content)) + kind + content


def _uint32(*values: int) -> bytes:
    return struct.pack(f'>{len(values)}I', *values)
