"""The videos behind the app, and which of their files are shown."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from ..index_view import IndexView
from ..records import video_key
from ..view import StoredVideo
from .opening import Opener

__all__ = ['Library', 'key_of']

KEY = re.compile(r'[0-9a-f]{32}')


class Library:
    """The videos of an index and their files.

    Args:
        opener: Opens the index.
        folders: Folders whose files may be shown; by default the one in which all videos of the
            index lie. Links that lead out of them are not followed.
    """

    def __init__(self, opener: Opener, folders: Sequence[str | Path] = ()) -> None:
        self._opener = opener
        self._folders = [os.path.realpath(Path(item).expanduser()) for item in folders]
        self._base = ''

    def view(self) -> IndexView:
        """Return the videos of the index; see `Opener.view`."""
        return self._opener.view()

    def base(self, view: IndexView, video: StoredVideo | None = None) -> str:
        """Return the folder in which all videos lie; '' if there are none.

        Args:
            view: The videos.
            video: One that may lie elsewhere, because it was added later.
        """
        is_outside = video is not None and not is_inside(video.path, self._base)
        if not self._base or is_outside:
            parents = {os.path.dirname(path) for path in view.encoded_paths()}
            self._base = os.path.commonpath(parents) if parents else self._base
        return self._base

    def find(self, view: IndexView, key: str) -> StoredVideo | None:
        """Return an encoded video by its key."""
        if not KEY.fullmatch(key):
            return None
        video = view.find_key((int(key[:16], 16), int(key[16:], 16)))
        return video if video is not None and video.note is None else None

    def why_withheld(self, view: IndexView, video: StoredVideo) -> str | None:
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
        base = self.base(view, video)
        folders = self._folders or ([os.path.realpath(base)] if base else [])
        if not any(is_inside(real, folder) for folder in folders):
            return 'It is a link out of the folders whose files are shown.'
        if not os.access(real, os.R_OK):
            return 'There is no permission to read the file.'
        return None

    def short_name(self, view: IndexView, video: StoredVideo) -> str:
        """Return the path inside the folder of all videos."""
        return video.path.removeprefix(os.path.join(self.base(view, video), ''))


def is_inside(path: str, folder: str) -> bool:
    """Tell whether a path lies in a folder; neither is followed."""
    return path.startswith(os.path.join(folder, ''))


def key_of(path: str) -> str:
    """Return the key of a video, 32 hexadecimal digits."""
    return '{:016x}{:016x}'.format(*video_key(path))
