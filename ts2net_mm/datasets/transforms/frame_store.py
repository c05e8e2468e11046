"""MMAction2's way to read frames, out of a frame store."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from mmaction.datasets.transforms import RawFrameDecode
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ...video.errors import UnreadableVideoError
from ..frame_store import FRAME_NAME, FrameStore, FrameStoreError, StoredVideo, video_name

__all__ = ['FrameStoreDecode', 'FrameStoreInit']

NAMED_VIDEOS = 5
DECODING = (dict(type='VideoInit'), dict(type='VideoDecode'))


@TRANSFORMS.register_module()
class FrameStoreInit(BaseTransform):
    """Look up a video in a frame store, in place of opening its file.

    A video whose file has changed since it was stored is an error. A file that does not exist is
    none: the frames suffice.

    Required key: filename; optional: video_id. Added keys: total_frames, avg_fps, frame_times (of a
    variable rate), frame_store, frame_dir, filename_tmpl, modality.

    Args:
        db_path: Folder of the frame store, which ``tools/data/store_frames.py`` makes.
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
        """Compare the files of videos with those that were stored, before the first is read.

        Args:
            paths: File of each video, by its name.
            needed_frames: Returns the frames of a video that must be stored (None: all).

        Returns:
            Names of the videos that are in the store.

        Raises:
            FrameStoreError: If videos are not in the store, their files have changed, or frames
                are lacking; with their number.
        """
        wrong: dict[str, list[str]] = {}
        for name, path in paths.items():
            video = self.store.video(name)
            status = _status(path)
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
        """Add what is known of the video."""
        name = video_name(results)
        if name not in self._videos:
            self.check_videos({name: results['filename']})
        if name not in self._videos:
            raise UnreadableVideoError.of(results['filename'], 'the file does not exist')
        video = self._videos[name]
        if video.reason:
            raise UnreadableVideoError.of(results['filename'], video.reason)
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

    ``RawFrameDecode(io_backend='lmdb', db_path=...)`` reads the same frames; this one names the
    frame that is missing or damaged, and can be sent to a spawned worker at any time.

    Args:
        decoding_backend: Of mmcv: 'cv2', 'pillow' or 'turbojpeg'.
    """

    def __init__(self, *, decoding_backend: str = 'cv2') -> None:
        super().__init__(io_backend='lmdb', decoding_backend=decoding_backend)
        self.file_client: Any = None

    def transform(self, results: dict) -> dict:
        """Decode the pictures of the chosen frames."""
        pictures = _Pictures(results.pop('frame_store'), results['filename'])
        self.file_client = pictures
        try:
            return super().transform(results)
        except cv2.error as error:
            raise FrameStoreError(pictures.problem('is damaged')) from error
        finally:
            self.file_client = None


class _Pictures:
    """Stands for MMEngine's ``FileClient``."""

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


def _status(path: str) -> Any:
    try:
        return os.stat(path)
    except OSError:
        return None
