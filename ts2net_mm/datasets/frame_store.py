"""A frame store: decoded frames in LMDB, one picture per key, as MMAction2 reads them."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import cv2
import lmdb
import numpy as np
from mmaction.datasets.transforms import RawFrameDecode
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.fileio import LmdbBackend

from ..video.errors import UnreadableVideoError

__all__ = [
    'DATA',
    'DESCRIPTION',
    'VERSION',
    'FrameStore',
    'FrameStoreDecode',
    'FrameStoreError',
    'FrameStoreInit',
    'StoredVideo',
    'close_access',
    'describe_difference',
    'frame_key',
    'parse_video',
    'read_description',
    'video_key',
    'video_name',
]

FRAME_NAME = '{:06}'  # the number of a frame, which follows that of the video in a key
DESCRIPTION = 'frame_store.json'
DATA = 'data.mdb'
VERSION = 1
NAMED_VIDEOS = 5
DECODING = (dict(type='VideoInit'), dict(type='VideoDecode'))


class FrameStoreError(ValueError):
    """A frame store that is missing, damaged, outdated or made with other settings."""


@dataclass(frozen=True)
class StoredVideo:
    """The entry of a video in a frame store.

    Args:
        name: Name of the video in the annotation.
        size: Bytes of its file when it was decoded.
        mtime_ns: Time of the file's last change then, nanoseconds.
        total_frames: Frames of the video, stored or not.
        avg_fps: Its frames per second; None where the decoder does not tell.
        frames: Numbers of the stored frames, ascending; None for all.
        frame_dir: Prefix of the keys of its frames.
        reason: Why it could not be decoded; empty if it could.
        times: When each frame is shown and when the last one ends, seconds, for a variable rate.
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
        """Tell whether the file is unchanged since it was decoded."""
        return (self.size, self.mtime_ns) == (status.st_size, status.st_mtime_ns)

    def holds(self, needed: np.ndarray | None) -> bool:
        """Tell whether these frames are stored; None means all frames of the video."""
        if self.frames is None:
            return True
        return needed is not None and bool(np.isin(needed, self.frames).all())

    def numbers(self) -> Sequence[int]:
        """Numbers of the stored frames."""
        return range(self.total_frames) if self.frames is None else self.frames


class FrameStore:
    """Read access to a frame store.

    Args:
        folder: Folder of the store.

    Attributes:
        settings: How its frames were made.

    Raises:
        FrameStoreError: If there is no store, or it is damaged.
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
        """Look up a video by its name in the annotation."""
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
        """Drop the open database, which every process has to open for itself."""
        return dict(self.__dict__, _access=None)


class _Access(LmdbBackend):
    """An open database, shared within a process because LMDB must not open a folder twice."""

    _client: Any
    _by_folder: WeakValueDictionary[str, '_Access'] = WeakValueDictionary()

    @classmethod
    def to_folder(cls, folder: str | Path) -> '_Access':
        place = os.path.realpath(folder)
        access = cls._by_folder.get(place)
        if access is None:
            access = cls._by_folder[place] = cls(place)
        return access


def close_access(folder: str | Path) -> None:
    """Close a frame store in this process, so that it can be written; reading opens it again."""
    access = _Access.to_folder(folder)
    if access._client is not None:
        access._client.close()
        access._client = None


def describe_difference(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """Describe the settings that differ: ``key=found, where key=expected is asked for``."""
    keys = [key for key in sorted({*found, *expected}) if found.get(key) != expected.get(key)]
    was, asked = (
        ', '.join(f'{key}={side.get(key)!r}' for key in keys) for side in (found, expected)
    )
    return f'{was}, where {asked} is asked for'


def read_description(folder: Path) -> dict[str, Any] | None:
    """Read the description of a store: its version, settings and size; None without a store.

    Raises:
        FrameStoreError: If the description is invalid, or the store is incomplete.
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
    if found < size:  # LMDB maps the file: reading beyond its end would kill the process
        raise FrameStoreError(f'{data} has {found:,} bytes, expected {size:,}: it is incomplete')
    return content


def video_name(item: Mapping[str, Any]) -> str:
    """Return the name of an item's video: that of its annotation, or else its path."""
    return item.get('video_id', item['filename'])


def video_key(name: str) -> str:
    """Return the key of a video's entry."""
    # LMDB's keys have at most 511 bytes, and MMEngine's backend takes only ASCII
    return 'video ' + hashlib.sha256(name.encode()).hexdigest()


def frame_key(frame_dir: str, number: int) -> bytes:
    """Return the key of a picture, as ``RawFrameDecode`` builds it."""
    return os.path.join(frame_dir, FRAME_NAME.format(number)).encode()


def parse_video(value: bytes | None) -> StoredVideo | None:
    """Parse a video's entry."""
    return None if value is None else StoredVideo(**json.loads(value))


@TRANSFORMS.register_module()
class FrameStoreInit(BaseTransform):
    """Look up a video in a frame store, in place of opening its file.

    The file need not exist, but if it has changed since it was stored, that is an error.

    Required key: filename; optional: video_id. Added keys: total_frames, avg_fps, frame_times (for
    a variable rate), frame_store, frame_dir, filename_tmpl, modality.

    Args:
        db_path: Folder of the frame store, written by ``tools/data/store_frames.py``.
        decoding: The transforms that open and decode a video when the store is made, and in a
            search over videos that are in no store.

    Raises:
        FrameStoreError: If the video is not in the store, or its file has changed.
        UnreadableVideoError: If the video could not be decoded when the store was made.
    """

    def __init__(self, *, db_path: str, decoding: Sequence[dict] = DECODING) -> None:
        if len(decoding) != 2:
            raise ValueError(f'decoding={decoding}, expected a transform to open and one to decode')
        self.db_path = db_path
        self.decoding = [dict(step) for step in decoding]
        self._store: FrameStore | None = None
        self._videos: dict[str, StoredVideo] = {}

    @property
    def store(self) -> FrameStore:
        """The frame store."""
        if self._store is None:
            self._store = FrameStore(self.db_path)
        return self._store

    def check_videos(
        self,
        paths: Mapping[str, str],
        needed_frames: Callable[[StoredVideo], np.ndarray | None] | None = None,
    ) -> set[str]:
        """Compare the files of videos with the stored ones, before the first is read.

        Args:
            paths: File of each video, by its name.
            needed_frames: Returns the frames of a video that must be stored (None: all).

        Returns:
            Names of the videos that are in the store.

        Raises:
            FrameStoreError: If videos are not in the store, their files have changed, or frames
                are missing, with the number of videos.
        """
        wrong: dict[str, list[str]] = {}
        for name, path in paths.items():
            video = self.store.video(name)
            try:
                status = os.stat(path)
            except OSError:
                status = None
            if video is None:
                if status is not None:
                    wrong.setdefault('are not in', []).append(path)
            elif status is not None and not video.is_of(status):
                wrong.setdefault('have changed since they were put into', []).append(path)
            elif needed_frames and not (video.reason or video.holds(needed_frames(video))):
                wrong.setdefault('lack frames of this sampling in', []).append(path)
            else:
                self._videos[name] = video
        for what, bad in wrong.items():
            names = ', '.join(bad[:NAMED_VIDEOS])
            raise FrameStoreError(
                f'{len(bad)} of {len(paths)} videos {what} the frame store {self.db_path}, '
                f'the first are {names}; tools/data/store_frames.py adds them'
            )
        return set(self._videos)

    def transform(self, results: dict) -> dict:
        """Add the stored facts of the video."""
        name = video_name(results)
        if name not in self._videos:
            self.check_videos({name: results['filename']})
        if name not in self._videos:
            raise UnreadableVideoError.from_reason(results['filename'], 'the file does not exist')
        video = self._videos[name]
        if video.reason:
            raise UnreadableVideoError.from_reason(results['filename'], video.reason)
        results['total_frames'] = video.total_frames
        if video.avg_fps is not None:
            results['avg_fps'] = video.avg_fps
        if video.times is not None:
            results['frame_times'] = np.array(video.times)
        results['frame_store'] = self.store
        results['frame_dir'] = video.frame_dir
        results['filename_tmpl'] = FRAME_NAME
        results['modality'] = 'RGB'
        return results

    def __repr__(self) -> str:
        """Show the settings."""
        return f'{type(self).__name__}(db_path={self.db_path!r}, decoding={self.decoding})'


@TRANSFORMS.register_module()
class FrameStoreDecode(RawFrameDecode):
    """MMAction2's ``RawFrameDecode`` on the frame store that ``FrameStoreInit`` has opened.

    ``RawFrameDecode(io_backend='lmdb', db_path=...)`` reads the same frames; this transform names
    the frame that is missing or damaged, and can be sent to a spawned worker at any time.

    Args:
        decoding_backend: Decoder of mmcv: 'cv2', 'pillow' or 'turbojpeg'.
    """

    def __init__(self, *, decoding_backend: str = 'cv2') -> None:
        super().__init__(io_backend='lmdb', decoding_backend=decoding_backend)
        self.file_client: Any = None

    def transform(self, results: dict) -> dict:
        """Decode the pictures of the sampled frames."""
        pictures = _Pictures(results.pop('frame_store'), results['filename'])
        self.file_client = pictures
        try:
            return super().transform(results)
        except cv2.error as error:
            raise FrameStoreError(pictures.problem('is damaged')) from error
        finally:
            self.file_client = None


class _Pictures:
    """Has the interface of MMEngine's ``FileClient``, and remembers the last key for errors."""

    def __init__(self, store: FrameStore, filename: str) -> None:
        self.store = store
        self.filename = filename
        self.key = ''

    def get(self, key: str) -> bytes:
        self.key = key
        value = self.store.get(key)
        if value is None:
            raise FrameStoreError(self.problem('is missing'))
        return value

    def problem(self, what: str) -> str:
        number = int(os.path.basename(self.key))
        return f'frame {number} of {self.filename} {what} in the frame store {self.store.folder}'
