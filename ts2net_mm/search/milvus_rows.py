"""What the collections of an index in Milvus hold, and the rows of a video.

Three collections make an index: one of windows, which is searched, one of their frames, and one
of videos. All keys follow from the path of a video, so that a row is found, replaced and deleted
without a search.
"""

from __future__ import annotations

import base64
import math
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from .bound import Score, Summary, dot_error
from .filters import VideoFilter
from .packing import PackedVideo
from .records import SKIPPED, WINDOW, Layout, video_key
from .view import StoredVideo

__all__ = [
    'COLLECTIONS',
    'DESCRIPTION_KEY',
    'FRAMES',
    'LONGEST_TEXT',
    'NO_VECTOR',
    'NUMBERS',
    'UNFINISHED',
    'VIDEOS',
    'VIDEO_FACTS',
    'WINDOWS',
    'WINDOW_FACTS',
    'escape',
    'fields',
    'filter_expression',
    'frame_keys',
    'frame_rows',
    'may_reach',
    'key_text',
    'left_out',
    'read_record',
    'read_video',
    'read_windows',
    'text_key',
    'unescape',
    'video_row',
    'window_keys',
    'window_rows',
]

WINDOWS, FRAMES, VIDEOS = COLLECTIONS = ('windows', 'frames', 'videos')
DESCRIPTION_KEY = '#index'  # of the row of `VIDEOS` that describes the index
UNFINISHED = -1  # instead of a checksum, while the rows of a video are written
LONGEST_TEXT = 65_535  # bytes of a VARCHAR of Milvus
PART = LONGEST_TEXT // 4 * 3  # bytes of a record in one row, in base 64
NO_VECTOR = [0.0, 0.0]  # Milvus wants a vector in every collection
# Products of query and mean fall into bands; the last one has no end. Each window has a number for
# each band: how far its score may exceed such a product.
BANDS = tuple(step / 20 for step in range(13))
LARGEST_EXCESS = 2.001  # scores and products lie between -1 and 1
NUMBERS = dict(radius='FLOAT', spread='FLOAT', mean_norm='FLOAT', num_frames='INT64')
WINDOW_FACTS = (
    *('video', 'number', 'path', 'start', 'end', 'duration', 'size', 'mtime_ns', 'frames_crc'),
    *NUMBERS,
)
VIDEO_FACTS = ('path', 'size', 'mtime_ns', 'duration', 'kind', 'num_windows', 'checksum', 'note')
_UNSAFE = re.compile('[%"\'\\\\{}\x00-\x1f\x7f\ud800-\udfff]')


def excess_field(band: int) -> str:
    """Return the name of the field of a band."""
    return f'excess_{round(100 * BANDS[band]):02}'


def fields(collection: str, layout: Layout) -> dict[str, dict[str, Any]]:
    """Return the fields of a collection, with the arguments of each."""
    key: dict[str, Any] = dict(dtype='VARCHAR', max_length=64, is_primary=True)
    text = dict(dtype='VARCHAR', max_length=LONGEST_TEXT)
    number, real = dict(dtype='INT64'), dict(dtype='DOUBLE')
    short = dict(dtype='VARCHAR', max_length=64)
    nothing = dict(dtype='FLOAT_VECTOR', dim=len(NO_VECTOR))
    file: dict[str, dict[str, Any]] = dict(path=text, size=number, mtime_ns=number, duration=real)
    if collection == FRAMES:
        return dict(key=key, no_vector=nothing, record=text | dict(mmap_enabled=True))
    if collection == VIDEOS:
        counts = dict(kind=number, num_windows=number, checksum=number)
        return dict(key=key, no_vector=nothing, **file, **counts, note=text)
    return dict(
        key=key,
        mean=dict(dtype='FLOAT_VECTOR', dim=layout.dims),
        video=short,
        number=number,
        **file,
        start=real,
        end=real,
        frames_crc=number,
        model=text,
        **{name: dict(dtype=kind) for name, kind in NUMBERS.items()},
        **{excess_field(band): dict(dtype='FLOAT') for band in range(len(BANDS))},
    )


def escape(text: str) -> str:
    """Write a text so that it is safe inside a quoted string, and can be UTF-8.

    Quotes, backslashes, braces, control characters and bytes that are not UTF-8 become %XX, and %
    itself does. Texts that begin alike still do.
    """
    return _UNSAFE.sub(lambda match: quote(match[0], safe='', errors='surrogateescape'), text)


def unescape(text: str) -> str:
    """Undo `escape`."""
    return unquote(text, errors='surrogateescape')


def text_key(path: str) -> str:
    """Return the key of a video."""
    return key_text(video_key(path))


def key_text(key: tuple[int, int]) -> str:
    """Write the hash of a path as the key of a video."""
    return f'{key[0]:016x}{key[1]:016x}'


def window_keys(video: str, first: int, last: int) -> list[str]:
    """Return the keys of the windows ``first`` to ``last - 1`` of a video."""
    return [f'{video}-{number:08x}' for number in range(first, last)]


def frame_keys(window: str, layout: Layout) -> list[str]:
    """Return the keys of the rows that hold the frames of a window."""
    return [f'{window}-{part}' for part in range(math.ceil(layout.record.itemsize / PART))]


def video_row(video: PackedVideo) -> dict[str, Any]:
    """Return the row of a video."""
    return dict(
        key=text_key(video.path),
        no_vector=NO_VECTOR,
        **_file_fields(video),
        kind=video.kind,
        num_windows=len(video.table),
        checksum=video.checksum,
        note=escape(video.note),
    )


def window_rows(
    video: PackedVideo, layout: Layout, score: Score, fingerprint: str
) -> list[dict[str, Any]]:
    """Return the rows of the windows of a video."""
    key, table = text_key(video.path), video.table
    summary = Summary(table['radius'], table['spread'], table['mean_norm'], table['num_frames'])
    margin = 2 * dot_error(layout.dims)
    columns = {name: table[name].tolist() for name in ('start', 'end', 'frames_crc', *NUMBERS)}
    for band, low in enumerate(BANDS):
        high = BANDS[band + 1] if band + 1 < len(BANDS) else 1 + margin
        excess = score.excess(max(low - margin, 0.0), high, summary)
        columns[excess_field(band)] = np.minimum(excess, LARGEST_EXCESS).tolist()
    same = dict(video=key, model=escape(fingerprint), **_file_fields(video))
    return [
        dict(zip(columns, values, strict=True), key=window, number=number, mean=mean, **same)
        for number, (window, mean, *values) in enumerate(
            zip(window_keys(key, 0, len(table)), video.means, *columns.values(), strict=True)
        )
    ]


def frame_rows(video: PackedVideo, layout: Layout) -> list[dict[str, Any]]:
    """Return the rows of the frames of a video."""
    rows = []
    keys = window_keys(text_key(video.path), 0, len(video.table))
    for window, record in zip(keys, video.frames, strict=True):
        content = record.tobytes()
        for part, key in enumerate(frame_keys(window, layout)):
            text = base64.b64encode(content[part * PART : (part + 1) * PART]).decode()
            rows.append(dict(key=key, no_vector=NO_VECTOR, record=text))
    return rows


def read_record(keys: Sequence[str], rows: Mapping[str, Mapping[str, Any]]) -> bytes | None:
    """Return the frames of a window from its rows; None if a row is missing or no base 64."""
    try:
        return b''.join(base64.b64decode(rows[key]['record'], validate=True) for key in keys)
    except (KeyError, ValueError):
        return None


def read_windows(rows: Sequence[Mapping[str, Any]], means: np.ndarray) -> np.ndarray:
    """Return the records of windows from their rows."""
    table = np.zeros(len(rows), WINDOW)
    for name in ('start', 'end', 'frames_crc', *NUMBERS):
        table[name] = [row[name] for row in rows]
    table['mean_crc'] = [zlib.crc32(mean) for mean in means]
    return table


def read_video(row: Mapping[str, Any], number: int = -1) -> StoredVideo:
    """Describe a video from its row, or from that of one of its windows."""
    return StoredVideo(
        path=unescape(row['path']),
        size=row['size'],
        mtime_ns=row['mtime_ns'],
        duration=row['duration'] if row['duration'] >= 0 else math.nan,
        num_windows=row.get('num_windows', 0),
        note=unescape(row['note']) if row.get('kind') == SKIPPED else None,
        number=number,
    )


def left_out(videos: Iterable[str]) -> str:
    """Write that windows are not of these videos, which are named by their keys."""
    keys = ', '.join(f'"{key}"' for key in sorted(videos))
    return f'video not in [{keys}]' if keys else ''


def filter_expression(filters: VideoFilter | None) -> str:
    """Write conditions on videos as Milvus reads them; empty if there are none."""
    if filters is None:
        return ''
    conditions = []
    if filters.path_prefix is not None:
        prefix = escape(filters.path_prefix)
        # what begins with 'a/' lies between 'a/' and 'a0', because 0 follows / in ASCII
        conditions += [f'path >= "{prefix}"', f'path < "{prefix[:-1]}0"']
    if filters.min_duration is not None:
        conditions.append(f'duration >= {filters.min_duration!r}')
    if filters.max_duration is not None:
        conditions += ['duration >= 0', f'duration <= {filters.max_duration!r}']
    after, before = filters.changed_ns
    if after is not None:
        conditions.append(f'mtime_ns >= {after}')
    if before is not None:
        conditions.append(f'mtime_ns < {before}')
    return ' and '.join(conditions)


def may_reach(threshold: float, product: float) -> str:
    """Write which windows may have at least a score, if their product is at most ``product``.

    The expression is empty if all may, and it includes all windows that may.
    """
    if not math.isfinite(threshold):
        return ''
    conditions = []
    for band, low in enumerate(BANDS):
        if band and low > product:
            break
        is_last = band + 1 == len(BANDS)
        highest = product if is_last else min(product, BANDS[band + 1])
        # Milvus compares in single precision
        least = threshold - highest - 1e-6
        if least <= 0:
            return ''
        conditions.append(f'{excess_field(band)} >= {least:.8f}')
    return f'({" or ".join(conditions)})'


def _file_fields(video: PackedVideo) -> dict[str, Any]:
    known = not math.isnan(video.duration)
    return dict(
        path=escape(video.path),
        size=video.size,
        mtime_ns=video.mtime_ns,
        duration=float(video.duration) if known else -1.0,
    )
