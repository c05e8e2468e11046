"""Encode video files into an index, alone or with other processes."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from ..apis.reading import VIDEO_TIMEOUT, with_threads
from ..utils.workers import Failure, available_cpus, map_in_workers
from ..video.video_files import VideoFile, is_skipped_video, last_ending
from .description import Description
from .records import MAY_PASS, Layout, VideoEntry, WindowFeatures
from .sharing import index_path, look_up
from .targets import Target, VideoWriter
from .windows import Part, ReadPart, Windowing, WindowReader

__all__ = ['EncodingReport', 'ItemEncoder', 'encode_files', 'encode_into']

COMMIT_INTERVAL = 2.0  # seconds of work that a crash may lose, besides the videos it was at


class ItemEncoder(Protocol):
    """The part of `RetrievalInferencer` that encoding uses."""

    name: str
    fingerprint: str
    video_pipeline: list[dict]

    @property
    def index_score(self) -> dict[str, Any] | None:
        """The score of an index that computes the model's similarity."""
        ...

    def encode_items(self, items: Sequence[dict[str, Any]]) -> tuple[Tensor, Tensor]:
        """Encode what the pipeline packed: features (N, T, D) and masks (N, T)."""
        ...


@dataclass
class EncodingReport:
    """What `encode_into` did.

    Args:
        num_known: Videos that were in the index.
        num_encoded: Videos that were encoded.
        skipped: Reason by path for the files that cannot be read, now or before.
        unreadable: Those of ``skipped`` whose content is the reason, and not a time limit, a
            crash or the file system.
    """

    num_known: int = 0
    num_encoded: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)

    @property
    def skipped_videos(self) -> dict[str, str]:
        """Those of ``skipped`` that are named like videos, or that may be read another time."""
        return {path: note for path, note in self.skipped.items() if not self._is_other(path)}

    @property
    def others(self) -> dict[str, int]:
        """Number of files that are not videos, by their ending."""
        return dict(Counter(map(last_ending, filter(self._is_other, self.skipped))).most_common())

    def add_skipped(self, path: str, note: str, *, is_final: bool) -> None:
        """Add a file that cannot be read."""
        self.skipped[path] = note
        if is_final:
            self.unreadable.add(path)

    def _is_other(self, path: str) -> bool:
        return not is_skipped_video(path, is_final=path in self.unreadable)


def encode_into(
    target: Target,
    files: Sequence[VideoFile],
    inferencer: ItemEncoder,
    *,
    windowing: Windowing | None,
    dtype: str = 'float32',
    batch_size: int = 8,
    num_workers: int | None = None,
    on_progress: Callable[[int], Any] | None = None,
) -> EncodingReport:
    """Add the videos to an index that are not in it, or that have changed.

    A video is in the index if its path, size and time of change are. One whose content cannot be
    read is not tried again until it changes; one that failed for another reason is. Other
    processes may add to the index meanwhile.

    Args:
        target: The index; it is made if it is missing.
        files: The videos.
        inferencer: The model.
        windowing: How videos are cut; None keeps them whole.
        dtype: How frames are stored, 'float16' or 'float32'.
        batch_size: Windows per batch.
        num_workers: Processes that decode.
        on_progress: Called with the number of videos that were finished since the last call.

    Raises:
        ValueError: If the index was made with another model or other settings, or cannot have the
            score of the model.
        OSError: If it cannot be written.
    """
    target.require_score(inferencer.index_score)
    missing, known = look_up(target, files)
    report = EncodingReport(num_known=sum(video.note is None for video in known))
    for video in known:
        if video.note is not None:
            report.add_skipped(video.path, video.note, is_final=True)
    entries = encode_files(
        missing, inferencer, windowing=windowing, batch_size=batch_size, num_workers=num_workers
    )
    with _Adding(target, inferencer, windowing, dtype) as adding:
        for entry in entries:
            adding.add(entry)
            if entry.windows is None:
                report.add_skipped(entry.path, entry.note, is_final=entry.size != MAY_PASS)
            else:
                report.num_encoded += 1
            if on_progress:
                on_progress(1)
    return report


def encode_files(
    files: Sequence[VideoFile],
    inferencer: ItemEncoder,
    *,
    windowing: Windowing | None = None,
    batch_size: int = 8,
    num_workers: int | None = None,
) -> Iterator[VideoEntry]:
    """Encode videos, and yield each when all of its windows are encoded, or when it failed.

    Args:
        files: The videos.
        inferencer: The model.
        windowing: How videos are cut; None keeps them whole.
        batch_size: Windows per batch.
        num_workers: Processes that decode; by default one per CPU core, at most 8.
    """
    if batch_size < 1:
        raise ValueError(f'batch_size={batch_size}, expected at least 1')
    waiting: list[tuple[_Video, dict[str, Any]]] = []
    for video, items in _read(files, inferencer.video_pipeline, windowing, num_workers):
        waiting += [(video, item) for item in items]
        if video.failure:
            yield video.entry()
        while len(waiting) >= batch_size:
            yield from _encode(inferencer, waiting[:batch_size])
            del waiting[:batch_size]
    if waiting:
        yield from _encode(inferencer, waiting)


class _Video:
    """A video whose windows are encoded one after another."""

    def __init__(self, file: VideoFile) -> None:
        self.file = file
        self.failure: Failure | None = None
        self.spans: list[tuple[float, float]] = []
        self.duration = float('nan')
        self._windows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, features: np.ndarray, mask: np.ndarray, seconds: np.ndarray) -> bool:
        """Add the next window, and tell whether it was the last."""
        self._windows.append((features, mask, seconds))
        return len(self._windows) == len(self.spans)

    def entry(self) -> VideoEntry:
        """Describe the video to the index."""
        path, file = index_path(self.file), self.file
        if self.failure is None and not _is_unchanged(file):
            self.failure = Failure('it was changed or renamed while it was read')
        if self.failure is not None:
            size = file.size if self.failure.is_final else MAY_PASS
            return VideoEntry(path, size, file.mtime_ns, note=self.failure.reason)
        features, masks, seconds = (np.stack(part) for part in zip(*self._windows, strict=True))
        starts, ends = np.array(self.spans, dtype=np.float64).T
        windows = WindowFeatures(starts, ends, features, masks, seconds)
        return VideoEntry(path, file.size, file.mtime_ns, self.duration, windows)


def _read(
    files: Sequence[VideoFile],
    pipeline: Sequence[dict],
    windowing: Windowing | None,
    num_workers: int | None,
) -> Iterator[tuple[_Video, list[dict[str, Any]]]]:
    """Yield each video, with what was read of it or a failure; a long one in several parts."""
    videos = {str(file.path): _Video(file) for file in files}
    num_workers = min(num_workers or min(8, available_cpus()), max(1, len(files)))
    # all cores, even if there are only a few videos
    pipeline = with_threads(pipeline, max(1, available_cpus() // num_workers))
    reader = WindowReader(pipeline=pipeline, windowing=windowing)

    def read(parts: list[Part]) -> Iterator[tuple[Part, ReadPart | Failure]]:
        return map_in_workers(reader, parts, num_workers=num_workers, timeout=VIDEO_TIMEOUT)

    for part, first in read([Part(path) for path in videos]):
        video = videos.pop(part.path)
        if isinstance(first, Failure):
            video.failure = first
            yield video, []
            continue
        video.spans, video.duration = first.spans, first.duration
        yield video, first.items
        for _, following in read(first.following(part.path)):
            if isinstance(following, Failure):
                video.failure = following
                yield video, []
                break
            yield video, following.items


def _encode(
    inferencer: ItemEncoder, batch: Sequence[tuple[_Video, dict[str, Any]]]
) -> Iterator[VideoEntry]:
    """Encode a batch of windows, and yield the videos that it completes."""
    batch = [(video, item) for video, item in batch if video.failure is None]
    if not batch:
        return
    features, masks = inferencer.encode_items([item for _, item in batch])
    for (video, item), window, mask in zip(batch, features.numpy(), masks.numpy(), strict=True):
        if video.add(window, mask, item['frame_seconds']):
            yield video.entry()


def _is_unchanged(file: VideoFile) -> bool:
    """Tell whether a file is as it was when it was listed; folders of pictures are not checked."""
    try:
        status = file.path.stat()
    except OSError:
        return False
    return file.path.is_dir() or (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns)


class _Adding:
    """Adds entries to an index every few seconds and on exit, also after an error."""

    def __init__(
        self,
        target: Target,
        inferencer: ItemEncoder,
        windowing: Windowing | None,
        dtype: str,
    ) -> None:
        self._target = target
        self._inferencer = inferencer
        self._windowing = windowing
        self._dtype = dtype
        self._entries: list[VideoEntry] = []
        self._stack = ExitStack()
        self._writer: VideoWriter | None = None
        self._next_commit = time.monotonic() + COMMIT_INTERVAL

    def __enter__(self) -> _Adding:
        if store := self._target.open():
            self._open(store.description.layout)
        return self

    def __exit__(self, *error: object) -> None:
        with self._stack:
            self._commit()

    def add(self, entry: VideoEntry) -> None:
        """Add a video, unless its file is gone."""
        if entry.windows is not None or os.path.exists(entry.path):
            self._entries.append(entry)
        if time.monotonic() >= self._next_commit:
            self._commit()
            self._next_commit = time.monotonic() + COMMIT_INTERVAL

    def _commit(self) -> None:
        encoded = [entry.windows for entry in self._entries if entry.windows is not None]
        if self._writer is None and encoded:  # its features show the layout
            _, num_frames, dims = encoded[0].features.shape
            self._open(Layout(num_frames, dims, self._dtype))
        if self._writer is not None:
            self._writer.add(self._entries)
            self._entries = []

    def _open(self, layout: Layout) -> None:
        description = Description(
            fingerprint=self._inferencer.fingerprint,
            layout=replace(layout, dtype=self._dtype),
            score=self._inferencer.index_score,
            model=self._inferencer.name,
            window=self._windowing.window if self._windowing else None,
            stride=self._windowing.stride if self._windowing else None,
        )
        store = self._target.create(description)
        self._writer = self._stack.enter_context(store.writer())
