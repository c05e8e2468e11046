"""An index of the videos of a folder, which lies in the cache and follows the folder."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import Timeout

from ..apis.gallery import cache_path
from ..apis.reading import find_readable
from ..utils.text import printable
from ..video.video_files import VideoFile, describe_endings
from .encoding import EncodingReport, ItemEncoder, encode_into
from .records import ENCODED, REMOVED, DamagedIndexError, video_key
from .sharing import Progress, Share, index_path
from .store import VideoStore
from .targets import Target
from .windows import Windowing

__all__ = ['FolderIndex', 'ListedFolder', 'naming_cache', 'update_folder_index']


@dataclass(frozen=True)
class ListedFolder:
    """What may be read in a folder.

    Args:
        folder: The folder.
        files: Its videos, or files that may be.
        time_ns: When listing them began.
    """

    folder: Path
    files: list[VideoFile]
    time_ns: int

    @classmethod
    def from_folder(cls, folder: str | Path, pipeline: Sequence[dict]) -> ListedFolder:
        """List what a test pipeline may read in a folder and its sub-folders.

        Raises:
            FileNotFoundError: If the folder does not exist.
            ValueError: If there is nothing to read.
        """
        time_ns = time.time_ns()
        return cls(Path(folder), find_readable(folder, pipeline), time_ns)


@dataclass(frozen=True)
class FolderIndex:
    """The index of a folder's videos.

    Args:
        folder: The folder of the videos.
        place: The folder of the index.
        begin: How the paths of its videos in the index begin.
        report: What was encoded, and what cannot be read.
        num_dropped: Videos that were in the index and are no longer in the folder.
    """

    folder: Path
    place: Path
    begin: str
    report: EncodingReport
    num_dropped: int

    def name_of(self, path: str) -> str:
        """Return the name of a video in the folder, also of one that another process has added."""
        return Path(os.path.relpath(path, self.begin)).as_posix()


def update_folder_index(
    listed: ListedFolder,
    inferencer: ItemEncoder,
    *,
    windowing: Windowing | None,
    cache_dir: str | Path | None = None,
    batch_size: int = 8,
    num_workers: int | None = None,
    progress: bool = False,
) -> FolderIndex:
    """Bring the index of a folder up to date, and make it if it is missing.

    New and changed videos are encoded, and those that are gone are removed. Each folder, model and
    way to cut videos has an index of its own. Several processes may do this at the same time.

    Args:
        listed: The files of the folder.
        inferencer: The model.
        windowing: How videos are cut; None keeps them whole.
        cache_dir: Folder for the index, by default ``$XDG_CACHE_HOME/ts2net_mm`` or
            ``~/.cache/ts2net_mm``.
        batch_size: Windows per batch.
        num_workers: Processes that decode.
        progress: Whether to show the progress on stderr.

    Raises:
        ValueError: If the folder holds no video, or none that can be read.
        DamagedIndexError: If the index cannot be read; the message says what to delete.
        OSError: If the cache folder cannot be written.
        KeyboardInterrupt: After Ctrl-C; what was encoded is kept.
    """
    folder, files = listed.folder, listed.files
    # the paths in the index begin as the folder is named, which may be a link to another
    begin = os.path.abspath(folder.expanduser())
    place = cache_path(folder, f'{inferencer.fingerprint} {windowing} {begin}', cache_dir)
    try:
        with (
            naming_cache(place),
            Target(place) as target,
            Progress(target, files, Share(), enabled=progress) as bar,
        ):
            report = encode_into(
                target,
                files,
                inferencer,
                windowing=windowing,
                batch_size=batch_size,
                num_workers=num_workers,
                on_progress=bar.advance,
            )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f'encoded videos are kept in {place}') from None
    if not report.num_known + report.num_encoded:
        raise ValueError(_why_nothing(folder, report, begin))
    num_dropped = _drop_missing(VideoStore(place), files, listed.time_ns)
    return FolderIndex(folder, place, begin, report, num_dropped)


@contextmanager
def naming_cache(place: Path) -> Iterator[None]:
    """Add to errors about damage of an index in the cache that it may be deleted."""
    try:
        yield
    except DamagedIndexError as error:
        advice = f'delete {place}, and the videos are encoded again'
        raise DamagedIndexError(f'{error}; {advice}') from error


def _drop_missing(store: VideoStore, files: Sequence[VideoFile], before_ns: int) -> int:
    """Remove what is not among the files, except what other processes added since; count videos."""
    view = store.view()
    keys = np.array([video_key(index_path(file))[0] for file in files], np.uint64)
    is_gone = view.is_latest & (view.videos['kind'] != REMOVED)
    is_gone &= view.videos['time_ns'] < before_ns
    is_gone &= ~np.isin(view.videos['key'][:, 0], keys)
    gone = [view.video(number) for number in np.flatnonzero(is_gone).tolist()]
    gone = [video for video in gone if not _may_be_there(video.path)]
    if gone:
        with store.writer() as writer:
            writer.remove(video.path for video in gone)
    now = store.view()
    if len(now) > 2 * now.num_windows:
        with suppress(Timeout):  # another process does it
            store.compact()
    return sum(bool(view.videos[video.number]['kind'] == ENCODED) for video in gone)


def _may_be_there(path: str) -> bool:
    """Tell whether a path cannot be looked at, as in a folder without permission."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return False  # listed no more, for example because it is hidden now


def _why_nothing(folder: str | Path, report: EncodingReport, begin: str) -> str:
    videos, others = report.skipped_videos, report.others
    if not videos:
        return f'there is no video in {folder}, only files {describe_endings(others)}'
    path, reason = next(iter(videos.items()))
    return (
        f'none of the {len(videos)} videos in {folder} can be read; the first is '
        f'{printable(os.path.relpath(path, begin))}: {reason}'
    )
