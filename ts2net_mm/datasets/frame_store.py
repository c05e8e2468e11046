"""Frames of videos in LMDB, one picture a key, as MMAction2's ``RawFrameDecode`` reads them."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import lmdb
import numpy as np
from mmengine.fileio import LmdbBackend

__all__ = [
    'DATA',
    'DESCRIPTION',
    'FRAME_NAME',
    'VERSION',
    'FrameStore',
    'FrameStoreError',
    'StoredVideo',
    'close_access',
    'describe_difference',
    'frame_key',
    'parse_video',
    'read_description',
    'video_key',
    'video_name',
]

FRAME_NAME = '{:06}'  # of a frame number, after the video's own number
DESCRIPTION = 'frame_store.json'
DATA = 'data.mdb'
VERSION = 1


class FrameStoreError(ValueError):
    """A frame store that is missing, damaged, stale or made with other settings."""


@dataclass(frozen=True)
class StoredVideo:
    """What a store knows of a video.

    Args:
        name: Of the video, as in the annotation.
        size: Bytes of its file when it was decoded.
        mtime_ns: Time of the file's last change then, nanoseconds.
        total_frames: Frames of the video, stored or not.
        avg_fps: Its frames per second; None where the decoder does not tell.
        frames: Numbers of the stored frames, ascending; None for all.
        frame_dir: What the keys of its frames begin with.
        reason: Why it could not be decoded; empty if it could.
        times: When each frame is shown and when the last one ends, seconds, where its rate varies.
    """

    name: str
    size: int
    mtime_ns: int
    total_frames: int = 0
    avg_fps: float | None = None
    frames: Sequence[int] | None = ()
    frame_dir: str = ''
    reason: str = ''
    times: Sequence[float] | None = None

    def is_of(self, status: os.stat_result) -> bool:
        """Tell whether its file is still the one that was decoded."""
        return (self.size, self.mtime_ns) == (status.st_size, status.st_mtime_ns)

    def holds(self, needed: np.ndarray | None) -> bool:
        """Tell whether these frames are stored; None stands for all of the video."""
        if self.frames is None:
            return True
        return needed is not None and bool(np.isin(needed, self.frames).all())

    def numbers(self) -> Sequence[int]:
        """Numbers of the stored frames."""
        return range(self.total_frames) if self.frames is None else self.frames


class FrameStore:
    """A frame store to read from.

    Args:
        folder: Where it is.

    Attributes:
        settings: How its frames were made.

    Raises:
        FrameStoreError: If there is none, or it is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = str(folder)
        self._access: _Access | None = None
        description = read_description(Path(folder))
        if description is None:
            raise FrameStoreError(
                f'there is no frame store in {folder}; make it with: '
                f'python tools/data/store_frames.py CONFIG --out {folder}'
            )
        self.settings: dict[str, Any] = description['settings']

    def video(self, name: str) -> StoredVideo | None:
        """Look a video up by its name in the annotation."""
        return parse_video(self.get(video_key(name)))

    def get(self, key: str | Path) -> bytes | None:
        """Read the value of a key, as MMEngine's storage backends do."""
        if self._access is None:
            self._access = _Access.to_folder(self.folder)
        try:
            return self._access.get(key)
        except lmdb.Error as error:
            raise FrameStoreError(f'frame store {self.folder} is unreadable: {error}') from error

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what another process has to open for itself."""
        return dict(self.__dict__, _access=None)


class _Access(LmdbBackend):
    """Access to a folder that all of this process shares, because LMDB opens none twice."""

    _client: Any
    _of_place: WeakValueDictionary[str, '_Access'] = WeakValueDictionary()

    @classmethod
    def to_folder(cls, folder: str | Path) -> '_Access':
        place = os.path.realpath(folder)
        access = cls._of_place.get(place)
        if access is None:
            access = cls._of_place[place] = cls(place)
        return access

    def close(self) -> None:
        """Let the folder be written or replaced; the next ``get`` opens it again."""
        if self._client is not None:
            self._client.close()
            self._client = None


def close_access(folder: str | Path) -> None:
    """Close a frame store in this process, until it is read again."""
    _Access.to_folder(folder).close()


def describe_difference(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """Name the settings that differ: ``key=found, where key=expected is asked for``."""
    keys = [key for key in sorted({*found, *expected}) if found.get(key) != expected.get(key)]
    was, asked = (
        ', '.join(f'{key}={side.get(key)!r}' for key in keys) for side in (found, expected)
    )
    return f'{was}, where {asked} is asked for'


def read_description(folder: Path) -> dict[str, Any] | None:
    """Read what says how a store was made; None if the folder holds no store.

    Raises:
        FrameStoreError: If it cannot be used, or the store is incomplete.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        version, _, size = content['version'], dict(content['settings']), int(content['bytes'])
    except (KeyError, TypeError, ValueError) as error:
        raise FrameStoreError(f'{path} describes no frame store ({error!r})') from error
    if version != VERSION:
        raise FrameStoreError(f'{path} has version {version!r}, expected {VERSION}')
    data = folder / DATA
    found = data.stat().st_size if data.is_file() else 0
    if found < size:  # reading beyond the end would kill the process
        raise FrameStoreError(f'{data} has {found:,} bytes, expected {size:,}: it is incomplete')
    return content


def video_name(item: Mapping[str, Any]) -> str:
    """Return the name of an item's video: that of its annotation, or else its path."""
    return item.get('video_id', item['filename'])


def video_key(name: str) -> str:
    """Return the key of what a store knows of a video."""
    # LMDB's keys have at most 511 bytes, and MMEngine's backend takes ASCII alone
    return 'video ' + hashlib.sha256(name.encode()).hexdigest()


def frame_key(frame_dir: str, number: int) -> bytes:
    """Return the key of a picture, as ``RawFrameDecode`` builds it."""
    return os.path.join(frame_dir, FRAME_NAME.format(number)).encode()


def parse_video(value: bytes | None) -> StoredVideo | None:
    """Read what a store knows of a video."""
    return None if value is None else StoredVideo(**json.loads(value))
