"""An index on disk: a folder with a description of the model and segments that grow."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

import numpy as np
from filelock import FileLock, Timeout

from ..utils.files import ensure_folder, write_text
from .description import DESCRIPTION, Description, read_description
from .packing import PackedVideo
from .records import (
    COMMITS,
    REMOVED,
    DamagedIndexError,
    VideoEntry,
    count_videos,
)
from .segment import Segment
from .segment_writer import SegmentWriter
from .view import StoredVideo, View

__all__ = ['StoreWriter', 'VideoStore']

logger = logging.getLogger(__name__)

REPLACES = 'replaces.json'  # names of the segments whose place a segment has taken
VIDEOS_AT_A_TIME = 64  # of a copy


class VideoStore:
    """The videos of an index.

    One process may write while others read, and several may write. What was added stays, whenever a
    process or the machine stops. ``view`` reads what was committed until then.

    Args:
        folder: The folder of the index.

    Raises:
        FileNotFoundError: If there is no index.
        ValueError: If its description cannot be read.

    Example:
        >>> # xdoctest: +SKIP(needs an index)
        >>> store = VideoStore('index')
        >>> with store.writer() as writer:
        ...     writer.add([VideoEntry('a.mp4', windows=windows)])
        >>> store.view().num_windows
        1
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        self.description = read_description(self.folder)
        self._lock = threading.Lock()
        self._view: View | None = None
        self._segments: dict[str, Segment] = {}

    @classmethod
    def create(cls, folder: str | Path, description: Description) -> VideoStore:
        """Make an index, or open the one that is there.

        Raises:
            ValueError: If the index there has another description; the message says what differs.
            OSError: If the folder cannot be written.
        """
        path = ensure_folder(folder, 'index folder') / DESCRIPTION
        if not path.exists():
            write_text(path, description.to_json())
        store = cls(folder)
        store.description.require_same(description, str(store.folder))
        return store

    def view(self) -> View:
        """Return what is committed now; the same view as before if nothing was.

        Raises:
            OSError: If a segment cannot be read.
        """
        missing = None
        with self._lock:
            while True:
                try:
                    return self._refresh()
                except FileNotFoundError as error:  # a segment may have been compacted: look again
                    if error.filename == missing:
                        raise
                    missing = error.filename

    def find(self, paths: Sequence[str]) -> dict[str, StoredVideo]:
        """Return videos by their paths, encoded or skipped, as far as they are there."""
        view = self.view()
        found = ((path, view.find(path)) for path in paths)
        return {path: video for path, video in found if video is not None}

    def count_records(self) -> int:
        """Count the records of videos, with replaced and removed ones, without opening the index.

        It takes as long for a million videos as for one. Videos are found by `view`.
        """
        number = 0
        for name in self._segment_names():
            with suppress(FileNotFoundError):  # it was compacted meanwhile
                number += count_videos(self._segment_folder(name))
        return number

    def writer(self) -> StoreWriter:
        """Return a writer; use it in a ``with`` statement.

        Raises:
            OSError: If the index cannot be written.
        """
        return StoreWriter(self)

    def compact(self) -> int:
        """Rewrite the index without what was replaced or removed; return the bytes saved.

        Segments that are being written are left as they are. Damaged videos are dropped, with a
        warning. Until the end, both old and new segments are on the disk.

        Raises:
            filelock.Timeout: If another process compacts the index.
            OSError: If it cannot be written.
        """
        with ExitStack() as stack:
            stack.enter_context(FileLock(self.folder / 'compact.lock', timeout=0))
            self._remove_leftovers()
            chosen = []
            for name in self._segment_names():
                with suppress(Timeout, FileNotFoundError):
                    lock = FileLock(self._segment_folder(name) / 'writer.lock', timeout=0)
                    stack.enter_context(lock)
                    chosen.append(name)
            before = sum(self._bytes_of(name) for name in chosen)
            view = self.view()
            if not chosen or (len(chosen) == 1 and view.is_latest.all()):
                return 0
            new = self._rewrite(view, chosen)
            for name in chosen:
                shutil.rmtree(self._segment_folder(name), ignore_errors=True)
            return before - self._bytes_of(new)

    def damaged_videos(self) -> list[str]:
        """Check every byte, and return the paths of damaged videos; all of their data is read."""
        view, found, first = self.view(), [], 0
        for segment in view.segments:
            for number in segment.damaged_videos():
                if view.is_latest[first + number]:
                    found.append(segment.path_of(number))
            first += len(segment.videos)
        return found

    def _segment_folder(self, name: str) -> Path:
        return self.folder / 'segments' / name

    def _segment_names(self) -> list[str]:
        """Names of the segments that count, oldest first."""
        names, replaced = [], set()
        with suppress(FileNotFoundError):
            for path in sorted((self.folder / 'segments').iterdir()):
                if not path.name.startswith('.'):
                    names.append(path.name)
                    with suppress(FileNotFoundError):
                        replaced |= set(json.loads((path / REPLACES).read_text()))
        return [
            name
            for name in names
            if name not in replaced and (self._segment_folder(name) / COMMITS).exists()
        ]

    def _refresh(self) -> View:
        segments: dict[str, Segment] = {}
        for name in self._segment_names():
            segment = self._segments.get(name)
            if segment is None or segment.has_more():
                folder = self._segment_folder(name)
                segment = Segment(folder, self.description.layout, segment)
                if segment.num_lost:
                    logger.warning(
                        '%s is damaged: %d of its commits are ignored', folder, segment.num_lost
                    )
            segments[name] = segment
        if self._view is None or segments != self._segments:
            self._segments = segments
            self._view = View(list(segments.values()))
        return self._view

    def _rewrite(self, view: View, chosen: Sequence[str]) -> str:
        """Write what counts of segments into a new one, which takes their place."""
        name = _new_name()
        temporary = self._segment_folder(f'.{name}')
        temporary.mkdir()
        writer = SegmentWriter(temporary, self.description.layout)
        try:
            first = 0
            for segment in view.segments:
                numbers = np.arange(len(segment.videos))
                keep = view.is_latest[first : first + len(numbers)]
                first += len(numbers)
                if len(chosen) == len(view.segments):  # nothing is left that was removed
                    keep = keep & (segment.videos['kind'] != REMOVED)
                if segment.folder.name in chosen:
                    self._copy(writer, segment, numbers[keep].tolist())
        finally:
            writer.close()
        write_text(temporary / REPLACES, json.dumps(list(chosen)))
        temporary.rename(self._segment_folder(name))
        return name

    def _copy(self, writer: SegmentWriter, segment: Segment, numbers: list[int]) -> None:
        for first in range(0, len(numbers), VIDEOS_AT_A_TIME):
            part = numbers[first : first + VIDEOS_AT_A_TIME]
            try:
                writer.copy(segment, part)
            except DamagedIndexError:
                for number in part:
                    try:
                        writer.copy(segment, [number])
                    except DamagedIndexError as error:
                        logger.warning('a video is dropped: %s', error)

    def _remove_leftovers(self) -> None:
        """Delete what a crash left: unfinished segments, and those that were replaced."""
        counting = set(self._segment_names())
        for path in self.folder.glob('segments/*'):
            if path.name not in counting and (
                path.name.startswith('.') or (path / COMMITS).exists()
            ):
                shutil.rmtree(path, ignore_errors=True)

    def _bytes_of(self, name: str) -> int:
        return sum(path.stat().st_size for path in self._segment_folder(name).iterdir())


class StoreWriter:
    """Adds videos to an index, and removes them.

    It appends to a segment that no other process writes, or to a new one.

    Args:
        store: The index.
    """

    def __init__(self, store: VideoStore) -> None:
        self._store = store
        self._view = store.view()
        self._times: dict[str, int] = {}
        self._segment = self._open_segment()

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._segment.close()

    def add(self, entries: Sequence[VideoEntry | PackedVideo]) -> None:
        """Add videos, all or none; each replaces what the index has for its path.

        They are on the disk when this returns.

        Raises:
            ValueError: If features are not finite, or of another shape than the index.
            OSError: If they cannot be written, as on a full disk; nothing is added then.
        """
        if entries:
            self._segment.append(entries, [self._next_time(entry.path) for entry in entries])

    def remove(self, paths: Iterable[str]) -> None:
        """Remove videos; their space is free after the next `VideoStore.compact`.

        Raises:
            OSError: If it cannot be written.
        """
        self.add([VideoEntry(path, removed=True) for path in paths])

    def _next_time(self, path: str) -> int:
        """Return the current time, or one later than that of the path's record."""
        last = self._times.get(path)
        if last is None and (video := self._view.find(path)):
            last = int(self._view.videos['time_ns'][video.number])
        self._times[path] = max(time.time_ns(), (last or 0) + 1)
        return self._times[path]

    def _open_segment(self) -> SegmentWriter:
        store = self._store
        layout = store.description.layout
        for name in store._segment_names():
            with suppress(Timeout, DamagedIndexError, FileNotFoundError):
                writer = SegmentWriter(store._segment_folder(name), layout)
                if name in store._segment_names():
                    return writer
                writer.close()  # it was compacted meanwhile
        folder = store._segment_folder(_new_name())
        folder.mkdir(parents=True)
        return SegmentWriter(folder, layout)


def _new_name() -> str:
    """Return a name that sorts by time and that no other process takes."""
    return f'{time.time_ns():016x}-{uuid.uuid4().hex[:8]}'
