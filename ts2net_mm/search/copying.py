"""Copy an index to another place: between folders and Milvus, in both directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .description import Description
from .milvus import MilvusStore
from .milvus_client import is_milvus_address
from .packing import PackedVideo
from .records import DamagedIndexError
from .store import VideoStore
from .targets import VideoWriter
from .view import View

__all__ = ['CopyReport', 'copy_index']

VIDEOS_AT_A_TIME = 16


@dataclass
class CopyReport:
    """What `copy_index` did.

    Args:
        num_copied: Videos that were written, read again and compared.
        num_present: Videos that were there.
        num_others: Videos of the target that the source does not have.
        num_videos: Videos of the target that may be found.
        num_windows: Their windows.
        damaged: Reason by path for the videos of the source that cannot be read.
    """

    num_copied: int = 0
    num_present: int = 0
    num_others: int = 0
    num_videos: int = 0
    num_windows: int = 0
    damaged: dict[str, str] = field(default_factory=dict)


class Place(Protocol):
    """Where an index is stored."""

    description: Description

    def paths(self) -> list[str]:
        """Return the paths of all videos, encoded and skipped."""
        ...

    def checksum(self, path: str) -> int | None:
        """Return the checksum of a video; None if it is not there."""
        ...

    def read(self, path: str) -> PackedVideo:
        """Read a video, and check that it is whole."""
        ...

    def writer(self) -> AbstractContextManager[VideoWriter]:
        """Return a writer."""
        ...

    def check_counts(self) -> None:
        """Check that no window is missing."""
        ...

    def count(self) -> tuple[int, int]:
        """Count the videos and the windows that may be found."""
        ...


def copy_index(
    source: str | Path,
    target: str | Path,
    *,
    token: str | None = None,
    index_type: str = 'FLAT',
    on_progress: Callable[[int, int], Any] | None = None,
) -> CopyReport:
    """Copy the videos of an index that another does not have, or has in another version.

    It may be stopped at any time and started again. Each video is read again from the target and
    its checksum compared.

    Args:
        source: Address of an index, see `open_index`.
        target: Address of the copy, which is made if it is missing.
        token: Password of the server; by default that in ``$MILVUS_TOKEN``.
        index_type: How Milvus indexes the means of a target that is made.
        on_progress: Called with the number of videos that were finished since the last call, and
            that of all.

    Raises:
        FileNotFoundError: If there is no index at the source.
        ValueError: If the target was made with other settings.
        DamagedIndexError: If the target does not hold what was written.
        OSError: If the target cannot be written.
    """
    with ExitStack() as stack:
        old = _open(source, token, stack)
        new = _create(target, old.description, token, index_type, stack)
        report, paths = CopyReport(), old.paths()
        with new.writer() as writer:
            for first in range(0, len(paths), VIDEOS_AT_A_TIME):
                part = paths[first : first + VIDEOS_AT_A_TIME]
                _copy(part, old, new, writer, report)
                if on_progress:
                    on_progress(len(part), len(paths))
        new.check_counts()
        report.num_videos, report.num_windows = new.count()
        report.num_others = len(set(new.paths()) - set(paths))
        return report


def _copy(
    paths: Sequence[str], old: Place, new: Place, writer: VideoWriter, report: CopyReport
) -> None:
    videos = []
    for path in paths:
        try:
            checksum = old.checksum(path)
            if checksum is None:  # it was removed meanwhile
                continue
            if checksum == _checksum_of_copy(new, path):
                report.num_present += 1
            else:
                videos.append(old.read(path))
        except DamagedIndexError as error:
            report.damaged[path] = str(error)
    if videos:
        writer.add(videos)
    for video in videos:
        if new.read(video.path).checksum != video.checksum:
            raise DamagedIndexError(f'the copy of {video.path} is not what was written')
    report.num_copied += len(videos)


def _checksum_of_copy(place: Place, path: str) -> int | None:
    """Return the checksum of a video; None if it is not there or damaged."""
    try:
        return place.checksum(path)
    except DamagedIndexError:
        return None


class _Folder:
    """An index in a folder."""

    def __init__(self, store: VideoStore) -> None:
        self._store = store
        self.description = store.description

    @property
    def _view(self) -> View:
        return self._store.view()

    def paths(self) -> list[str]:
        """Return the paths of all videos, encoded and skipped."""
        view = self._view
        return [video.path for video in (*view.encoded_videos(), *view.skipped_videos())]

    def checksum(self, path: str) -> int | None:
        """Return the checksum of a video; None if it is not there."""
        view = self._view
        video = view.find(path)
        return None if video is None else view.read_video(video.number).checksum

    def read(self, path: str) -> PackedVideo:
        """Read a video, and check that it is whole."""
        view = self._view
        video = view.find(path)
        if video is None:
            raise KeyError(path)
        return view.read_video(video.number)

    def writer(self) -> AbstractContextManager[VideoWriter]:
        """Return a writer."""
        return self._store.writer()

    def check_counts(self) -> None:
        """Do nothing: what is committed of a folder is whole."""

    def count(self) -> tuple[int, int]:
        """Count the videos and the windows that may be found."""
        return self._view.num_videos, self._view.num_windows


def _open(address: str | Path, token: str | None, stack: ExitStack) -> Place:
    if is_milvus_address(address):
        return stack.enter_context(MilvusStore(address, token=token))
    return _Folder(VideoStore(address))


def _create(
    address: str | Path,
    description: Description,
    token: str | None,
    index_type: str,
    stack: ExitStack,
) -> Place:
    if is_milvus_address(address):
        store = MilvusStore.create(address, description, token=token, index_type=index_type)
        return stack.enter_context(store)
    return _Folder(VideoStore.create(address, description))
