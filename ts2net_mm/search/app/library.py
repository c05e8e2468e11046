"""The index behind the app: opened again when it is replaced, and which of its files are shown."""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

from ..bound import Score
from ..index import VideoIndex
from ..records import video_key
from ..store import DESCRIPTION, VideoStore
from ..view import StoredVideo, View

__all__ = ['Library', 'OtherModelError', 'key_of']

KEY = re.compile(r'[0-9a-f]{32}')


class OtherModelError(ValueError):
    """An index whose videos another model has encoded."""


class Library:
    """The videos of an index and their files.

    Args:
        folder: The folder of the index.
        fingerprint: That of the model which encodes the queries.
        folders: Folders whose files may be shown; by default the one in which all videos of the
            index lie. Links that lead out of them are not followed.
        other_score: Computes the model's similarity where that has no certified bound.

    Raises:
        FileNotFoundError: If there is no index.
        OtherModelError: If it was made with another model.
        ValueError: If its description cannot be read.
    """

    def __init__(
        self,
        folder: str | Path,
        fingerprint: str,
        folders: Sequence[str | Path] = (),
        other_score: Score | None = None,
    ) -> None:
        self._folder = Path(folder).expanduser()
        self._fingerprint = fingerprint
        self._other_score = other_score
        self._lock = threading.Lock()
        self._folders = [os.path.realpath(Path(item).expanduser()) for item in folders]
        self._base = ''
        self._state: tuple[int, ...] = ()
        self._index = self.index()

    def index(self) -> VideoIndex:
        """Return the index; another one if its folder was made again meanwhile.

        Raises:
            FileNotFoundError: If the index was deleted.
            OtherModelError: If it is now that of another model.
        """
        with self._lock:
            status = (self._folder / DESCRIPTION).stat()
            state = (status.st_ino, status.st_mtime_ns)
            if state != self._state:
                description = VideoStore(self._folder).description
                score = self._other_score if description.score is None else None
                index = VideoIndex(self._folder, score=score)
                if description.fingerprint != self._fingerprint:
                    raise OtherModelError(
                        f'the index {self._folder} was made with another model or pipeline '
                        f'({description.model or "without a name"})'
                    )
                self._index, self._state = index, state
            return self._index

    def base(self, view: View, video: StoredVideo | None = None) -> str:
        """Return the folder in which all videos lie; '' if there are none.

        Args:
            view: The videos.
            video: One that may lie elsewhere, because it was added later.
        """
        is_outside = video is not None and not is_inside(video.path, self._base)
        if view.num_videos and (not self._base or is_outside):
            parents = {os.path.dirname(video.path) for video in view.encoded_videos()}
            self._base = os.path.commonpath(parents)
        return self._base

    def find(self, view: View, key: str) -> StoredVideo | None:
        """Return an encoded video by its key."""
        if not KEY.fullmatch(key):
            return None
        video = view.find_key((int(key[:16], 16), int(key[16:], 16)))
        return video if video is not None and video.note is None else None

    def why_withheld(self, view: View, video: StoredVideo) -> str | None:
        """Say why the file of a video is not shown; None if it is."""
        try:
            status = os.stat(video.path)
        except OSError:
            return 'The file is missing: it was deleted, moved or renamed after it was encoded.'
        if not stat.S_ISREG(status.st_mode):
            return 'It is not a file, so there is nothing to play.'
        if (status.st_size, status.st_mtime_ns) != (video.size, video.mtime_ns):
            return 'The file has changed since it was encoded.'
        real = os.path.realpath(video.path)
        folders = self._folders or [os.path.realpath(self.base(view, video))]
        if not any(is_inside(real, folder) for folder in folders):
            return 'It is a link out of the folders whose files are shown.'
        if not os.access(real, os.R_OK):
            return 'There is no permission to read the file.'
        return None

    def short_name(self, view: View, video: StoredVideo) -> str:
        """Return the path inside the folder of all videos."""
        return video.path.removeprefix(os.path.join(self.base(view, video), ''))


def is_inside(path: str, folder: str) -> bool:
    """Tell whether a path lies in a folder; neither is followed."""
    return path.startswith(os.path.join(folder, ''))


def key_of(path: str) -> str:
    """Return the key of a video, 32 hexadecimal digits."""
    return '{:016x}{:016x}'.format(*video_key(path))
