"""Videos in the form in which an index stores them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from .bound import summarise
from .records import WINDOW, Layout, VideoEntry, WindowFeatures

__all__ = ['WINDOWS_AT_A_TIME', 'PackedVideo', 'pack']

WINDOWS_AT_A_TIME = 512  # 50 MB in double precision
LONGEST_NOTE = 10_000


@dataclass(frozen=True, eq=False)
class PackedVideo:
    """A video as it is stored.

    Args:
        path: Path of the file, which identifies the video.
        size: Bytes of the file.
        mtime_ns: Time of its last change.
        duration: Seconds; NaN if unknown.
        kind: Kind of its record.
        note: Why it is skipped.
        table: Records of its windows, (N,) of ``WINDOW``.
        means: Means of their frames, (N, D) float32.
        frames: (N,) of ``layout.record``.
    """

    path: str
    size: int
    mtime_ns: int
    duration: float
    kind: int
    note: str
    table: np.ndarray
    means: np.ndarray
    frames: np.ndarray

    @property
    def checksum(self) -> int:
        """Checksum of all of it."""
        facts = (self.path, self.size, self.mtime_ns, str(self.duration), self.kind, self.note)
        columns = [name for name in WINDOW.names or () if name != 'video']
        value = zlib.crc32(repr(facts).encode(errors='surrogateescape'))
        for name in columns:
            value = zlib.crc32(self.table[name].tobytes(), value)
        value = zlib.crc32(self.means.tobytes(), value)
        return zlib.crc32(self.frames.tobytes(), value)


def pack(entry: VideoEntry, layout: Layout) -> PackedVideo:
    """Scale the frames of a video, and compute what is stored of its windows.

    Raises:
        ValueError: If features are not finite, or of another shape than the index.
    """
    tables = [np.empty(0, WINDOW)]
    means = [np.empty((0, layout.dims), np.float32)]
    frames = [np.empty(0, layout.record)]
    if entry.windows is not None:
        _check_shape(entry.path, entry.windows, layout)
        for first in range(0, len(entry.windows), WINDOWS_AT_A_TIME):
            rows = slice(first, first + WINDOWS_AT_A_TIME)
            table, mean, records = _pack_rows(entry.path, entry.windows, rows, layout)
            tables.append(table)
            means.append(mean)
            frames.append(records)
    return PackedVideo(
        path=entry.path,
        size=entry.size,
        mtime_ns=entry.mtime_ns,
        duration=entry.duration,
        kind=entry.kind,
        note=entry.note[:LONGEST_NOTE].encode(errors='replace').decode(),
        table=np.concatenate(tables),
        means=np.concatenate(means),
        frames=np.concatenate(frames),
    )


def _check_shape(path: str, windows: WindowFeatures, layout: Layout) -> None:
    shape = (len(windows), layout.num_frames, layout.dims)
    if not len(windows) or windows.features.shape != shape:
        raise ValueError(
            f'{path} has features of shape {windows.features.shape}, expected {shape} '
            'and at least one window'
        )


def _pack_rows(
    path: str, windows: WindowFeatures, rows: slice, layout: Layout
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return records, means and frames of some windows of a video."""
    frames, num_frames = _to_records(path, windows, rows, layout)
    means, summary = summarise(frames['frames'], num_frames)
    table = np.zeros(len(frames), WINDOW)
    table['start'], table['end'] = windows.starts[rows], windows.ends[rows]
    table['radius'], table['spread'] = summary.radius, summary.spread
    table['mean_norm'], table['num_frames'] = summary.mean_norm, num_frames
    table['mean_crc'] = [zlib.crc32(mean) for mean in means]
    table['frames_crc'] = [zlib.crc32(record.tobytes()) for record in frames]
    return table, means, frames


def _to_records(
    path: str, windows: WindowFeatures, rows: slice, layout: Layout
) -> tuple[np.ndarray, np.ndarray]:
    """Scale the frames to length 1, move valid ones to the front, and count them."""
    mask = windows.frame_mask[rows].astype(bool)
    if not mask.any(axis=1).all():
        raise ValueError(f'a window of {path} has no frame')
    order = np.argsort(~mask, axis=1, kind='stable')
    features = np.take_along_axis(windows.features[rows], order[..., None], axis=1)
    norms = np.linalg.norm(features.astype(np.float64), axis=-1)
    if not np.isfinite(norms).all():
        raise ValueError(f'{path} has features that are not finite')
    records = np.zeros(len(features), layout.record)
    records['frames'] = features / np.maximum(norms, 1e-12)[..., None]
    records['norms'] = norms
    records['seconds'] = np.take_along_axis(windows.frame_seconds[rows], order, axis=1)
    return records, mask.sum(axis=1)
