"""Write the features of an index, with the ids of their windows, for other programs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.files import replacing
from .view import View

__all__ = ['EXPORTS', 'export_features']

WINDOWS_AT_A_TIME = 1000


def export_features(view: View, path: str | Path, *, fingerprint: str) -> int:
    """Write all windows that may be found, and return their number.

    The ending of the name decides the format. Both have for each window: ``path``, ``start`` and
    ``end`` (seconds), ``num_frames`` (those that count come first), ``frame_seconds`` (T,) and
    ``features`` (T, D) as the model returned them, and the ``fingerprint`` of the model. Parquet
    needs pyarrow, and stores the features of a window as one list of T x D values.

    Args:
        view: What an index holds.
        path: The file to write, complete or not at all.
        fingerprint: That of the index.

    Raises:
        ValueError: If the ending is unknown, or the index is empty.
        ModuleNotFoundError: If pyarrow is not installed.
        OSError: If the file cannot be written.
    """
    write = EXPORTS.get(Path(path).suffix)
    if write is None:
        raise ValueError(f'{path}: expected a file in {" or ".join(EXPORTS)}')
    windows = np.flatnonzero(view.is_live)
    if not len(windows):
        raise ValueError('the index holds no video')
    with replacing(path) as temporary:
        write(view, windows, temporary, fingerprint)
    return len(windows)


def _blocks(view: View, windows: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    """Yield the columns of some windows at a time."""
    for first in range(0, len(windows), WINDOWS_AT_A_TIME):
        rows = windows[first : first + WINDOWS_AT_A_TIME]
        records = view.read_frames(rows)
        yield dict(
            features=records['frames'].astype(np.float32) * records['norms'][..., None],
            frame_seconds=records['seconds'],
        )


def _paths(view: View, windows: np.ndarray) -> list[str]:
    numbers, places = np.unique(view.video_of_window[windows], return_inverse=True)
    names = [view.video(int(number)).path for number in numbers]
    return [names[place].encode(errors='backslashreplace').decode() for place in places]


def _write_npz(view: View, windows: np.ndarray, path: Path, fingerprint: str) -> None:
    small = dict(
        path=np.array(_paths(view, windows), dtype=np.str_),
        start=view.starts[windows],
        end=view.ends[windows],
        num_frames=view.summary.num_frames[windows],
        fingerprint=np.array(fingerprint),
    )
    layout = view.segments[0].layout
    shapes = dict(
        features=(len(windows), layout.num_frames, layout.dims),
        frame_seconds=(len(windows), layout.num_frames),
    )
    with zipfile.ZipFile(path, 'w', allowZip64=True) as archive:
        for name, array in small.items():
            content = io.BytesIO()
            np.save(content, array)
            archive.writestr(f'{name}.npy', content.getvalue())
        for name, shape in shapes.items():  # written in blocks, because they may not fit in memory
            with archive.open(f'{name}.npy', 'w', force_zip64=True) as file:
                header = dict(descr='<f4', fortran_order=False, shape=shape)
                np.lib.format.write_array_header_1_0(file, header)
                for block in _blocks(view, windows):
                    file.write(np.ascontiguousarray(block[name], '<f4').tobytes())


def _write_parquet(view: View, windows: np.ndarray, path: Path, fingerprint: str) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('Parquet needs pyarrow: pip install pyarrow') from error
    paths = _paths(view, windows)
    layout = view.segments[0].layout
    sizes = dict(frame_seconds=layout.num_frames, features=layout.num_frames * layout.dims)
    lists = {name: pa.list_(pa.float32(), size) for name, size in sizes.items()}
    numbers = dict(start=pa.float64(), end=pa.float64(), num_frames=pa.int32())
    about = dict(num_frames=str(layout.num_frames), dims=str(layout.dims), fingerprint=fingerprint)
    schema = pa.schema(dict(path=pa.string()) | numbers | lists, metadata=about)
    with pq.ParquetWriter(path, schema) as writer:
        first = 0
        for block in _blocks(view, windows):
            rows = windows[first : first + len(block['features'])]
            columns: dict[str, Any] = dict(
                path=paths[first : first + len(rows)],
                start=view.starts[rows],
                end=view.ends[rows],
                num_frames=view.summary.num_frames[rows].astype(np.int32),
            )
            for name, size in sizes.items():
                values = pa.array(block[name].reshape(-1))
                columns[name] = pa.FixedSizeListArray.from_arrays(values, size)
            writer.write_table(pa.table(columns, schema=schema))
            first += len(rows)


EXPORTS: dict[str, Callable[[View, np.ndarray, Path, str], None]] = {
    '.npz': _write_npz,
    '.parquet': _write_parquet,
}
