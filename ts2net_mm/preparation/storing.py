"""Decode the videos of a config into a frame store, each once."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import lmdb
import numpy as np
from filelock import FileLock, Timeout
from mmaction.registry import DATASETS
from mmengine.config import Config

from ..datasets.frame_store import (
    DATA,
    DESCRIPTION,
    VERSION,
    FrameStoreError,
    StoredVideo,
    close_access,
    describe_difference,
    frame_key,
    parse_video,
    read_description,
    video_key,
    video_name,
)
from ..datasets.stored_steps import StoredSteps, decoding_pipeline
from ..utils.files import PART, write_text
from ..utils.text import one_line
from ..utils.workers import Failure
from ..video.errors import DECODING_ERRORS, UnreadableVideoError, unreadable_reason

__all__ = ['FrameStoreWriter', 'PictureFormat', 'VideoStorer', 'VideoToStore', 'videos_to_store']

SPLITS = ('train', 'val', 'test')
FRAMES_AT_A_TIME = 32  # 200 MB at 1920 x 1080 pixels
LOCK = 'writer.lock'
NEXT_NUMBER = b'next number'
FIRST_MAP_SIZE = 2**28  # bytes of address space, doubled when they are full


@dataclass(frozen=True)
class PictureFormat:
    """How pictures are stored.

    Args:
        name: 'jpeg', or the lossless 'png' or 'bmp', which is larger and the fastest to decode.
        quality: Of JPEG, 1 to 100.
    """

    name: Literal['jpeg', 'png', 'bmp'] = 'jpeg'
    quality: int = 95

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that a store records."""
        return dict(format=self.name, quality=self.quality if self.name == 'jpeg' else None)

    def encode(self, image: np.ndarray) -> bytes:
        """Encode an RGB picture."""
        options = dict(
            # colours at full resolution, which cameras halve: these frames are small already
            jpeg=[
                cv2.IMWRITE_JPEG_QUALITY,
                self.quality,
                cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
                cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
            ],
            png=[cv2.IMWRITE_PNG_COMPRESSION, 1],
        )
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(f'.{self.name}', bgr, options.get(self.name, []))
        return data.tobytes()


@dataclass
class VideoToStore:
    """A video of a config's data sets.

    Args:
        name: Its name in the annotations.
        path: Its file.
        steps: Numbers of the pipelines that read it.
        kept: Frames that a store already holds for other configs.
        fps: Frame rate in its annotation, for a folder of pictures.
    """

    name: str
    path: str
    steps: set[int] = field(default_factory=set)
    kept: Sequence[int] = ()
    fps: float | None = None


def videos_to_store(
    cfg: Config, splits: Sequence[str] = SPLITS
) -> tuple[list[VideoToStore], list[StoredSteps]]:
    """List the videos of a config's data sets, each once, and the pipelines that read them.

    Args:
        cfg: A config of training or testing; it may read the frame store to be created.
        splits: Its data loaders to look at; missing ones are skipped.

    Raises:
        ValueError: If there is none, pipelines decode or resize differently, or a name belongs to
            two files.
    """
    videos: dict[str, VideoToStore] = {}
    steps: list[StoredSteps] = []
    first = ''
    for split in splits:
        for dataset_cfg in _datasets((cfg.get(f'{split}_dataloader') or {}).get('dataset')):
            pipeline = decoding_pipeline(dataset_cfg['pipeline'])
            try:
                mine = StoredSteps.from_pipeline(pipeline)
                # the whole annotation, because a data set checks all of it when it starts
                dataset = DATASETS.build(dict(dataset_cfg, pipeline=pipeline, indices=None))
            except (KeyError, TypeError) as error:  # an unknown type or argument
                raise ValueError(
                    f'the data of config {cfg.filename} cannot be built: {one_line(error)}'
                ) from error
            if steps and mine.settings != steps[0].settings:
                raise ValueError(
                    f'the {first} data decode or resize by {steps[0].settings}, the {split} data '
                    f'by {mine.settings}; create a store of each with --splits'
                )
            first = first or split
            steps.append(mine)
            for index in range(len(dataset)):
                item = dataset.get_data_info(index)
                name, path = video_name(item), item['filename']
                video = videos.setdefault(name, VideoToStore(name, path, fps=item.get('fps')))
                if os.path.realpath(video.path) != os.path.realpath(path):
                    raise ValueError(
                        f'{name!r} is the name of {video.path} and of {path}; create a store '
                        'of each split with --splits'
                    )
                video.steps.add(len(steps) - 1)
    if not steps:
        raise ValueError(f'config {cfg.filename} has no data loader of {", ".join(splits)}')
    return list(videos.values()), steps


def _datasets(cfg: Any) -> Iterator[Any]:
    """Find the data sets inside MMEngine's wrappers."""
    if not cfg:
        return
    for inner in (cfg.get('dataset'), *(cfg.get('datasets') or ())):
        yield from _datasets(inner)
    if 'pipeline' in cfg:
        yield cfg


@dataclass(frozen=True)
class VideoStorer:
    """Decodes videos, one per call.

    Args:
        steps: The pipelines that read them; they differ only in their sampling.
        pictures: How frames are stored.
    """

    steps: Sequence[StoredSteps]
    pictures: PictureFormat

    def is_done(self, video: VideoToStore, known: StoredVideo | None) -> bool:
        """Return whether a store holds all needed frames of a video as it is; if not, set ``kept``.

        Args:
            video: The video.
            known: What the store records about it.
        """
        if known is None or known.reason or not known.is_of(os.stat(video.path)):
            return False
        video.kept = known.frames or ()
        return known.holds(self._needed_frames(video, known))

    def __call__(self, video: VideoToStore) -> tuple[StoredVideo, dict[int, bytes]] | Failure:
        """Return what to store, or why the video cannot be decoded."""
        try:
            status = os.stat(video.path)
            opened = self._open(video)
            total, rate = int(opened['total_frames']), opened.get('avg_fps')
            times = opened.get('frame_times')
            stored = StoredVideo(
                video.name,
                status.st_size,
                status.st_mtime_ns,
                total,
                None if rate is None else float(rate),
                times=None if times is None else times.tolist(),
            )
            needed = self._needed_frames(video, stored)
            numbers = np.arange(total) if needed is None else needed
            if not len(numbers):
                return Failure(f'it has no frames ({total} frames, {rate} a second)')
            frames = self._decode(video, numbers)
        except (*DECODING_ERRORS, UnreadableVideoError) as error:
            reason = getattr(error, 'reason', None) or unreadable_reason(video.path, error)
            return Failure(reason)
        return replace(stored, frames=None if needed is None else numbers.tolist()), frames

    def _needed_frames(self, video: VideoToStore, known: StoredVideo) -> np.ndarray | None:
        """Unite the frames that all pipelines need; None stands for all."""
        needed = [np.array(video.kept, dtype=int)]
        for index in video.steps:
            frames = self.steps[index].needed_frames(known)
            if frames is None:
                return None
            needed.append(frames)
        return np.unique(np.concatenate(needed))

    def _open(self, video: VideoToStore) -> dict[str, Any]:
        item = dict(filename=video.path, video_id=video.name, start_index=0, modality='RGB')
        return self.steps[0].opening(item if video.fps is None else item | dict(fps=video.fps))

    def _decode(self, video: VideoToStore, numbers: np.ndarray) -> dict[int, bytes]:
        """Decode and resize, a few frames at a time."""
        pictures: dict[int, bytes] = {}
        for start in range(0, len(numbers), FRAMES_AT_A_TIME):
            part = numbers[start : start + FRAMES_AT_A_TIME]
            # opened again, because some decoders only read forward from where they stopped
            results = self.steps[0].decoding(dict(self._open(video), frame_inds=part))
            if self.steps[0].resizing:
                results = self.steps[0].resizing(results)
            pictures.update(
                zip(part.tolist(), map(self.pictures.encode, results['imgs']), strict=True)
            )
        return pictures


class FrameStoreWriter:
    """A frame store to add videos to, by one process at a time.

    After `flush` all that was added is on disk, completely or not at all, whenever the process
    ends.

    Args:
        folder: Where it is or will be created.
        settings: How the frames are produced, JSON types.

    Raises:
        FrameStoreError: If the folder holds something else or a store of other settings, or
            another process writes to it.
    """

    def __init__(self, folder: str | Path, settings: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.settings = dict(settings)
        self._pending: dict[str, tuple[StoredVideo, dict[int, bytes]]] = {}
        description = read_description(self.folder)
        if description is None and self.folder.exists():
            others = sorted(
                name for name in os.listdir(self.folder) if name != LOCK and not name.endswith(PART)
            )
            if others:
                raise FrameStoreError(
                    f'{folder} is no frame store and not empty (it holds {others[0]}); '
                    'choose another folder'
                )
        if description is not None and description['settings'] != self.settings:
            raise FrameStoreError(
                f'the frame store {folder} was made with '
                f'{describe_difference(description["settings"], self.settings)}; '
                'choose another folder, or delete it'
            )

    @contextmanager
    def opened(self) -> Iterator['FrameStoreWriter']:
        """Open the store for writing; flush and describe it on exit."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(self.folder / LOCK).acquire(blocking=False)
        except Timeout:
            raise FrameStoreError(f'another process writes to {self.folder}') from None
        with lock:
            self._describe()
            close_access(self.folder)  # LMDB opens a folder only once per process
            data = self.folder / DATA
            size = max(FIRST_MAP_SIZE, 2 * data.stat().st_size if data.exists() else 0)
            try:
                self._env = lmdb.open(str(self.folder), map_size=size)
            except lmdb.Error as error:
                raise FrameStoreError(
                    f'frame store {self.folder} is unreadable: {error}; delete it'
                ) from None
            try:
                yield self
            finally:
                try:
                    self.flush()
                finally:
                    self._env.close()
                self._describe()

    def video(self, name: str) -> StoredVideo | None:
        """Look up a video that has been written."""
        with self._env.begin() as transaction:
            return self._read(transaction, name)

    def add(self, video: StoredVideo, frames: Mapping[int, bytes]) -> None:
        """Add a video or replace it; ``frame_dir`` is set here."""
        self._pending[video.name] = video, dict(frames)

    @property
    def pending_bytes(self) -> int:
        """Bytes of the pictures that are not on disk yet."""
        return sum(len(data) for _, frames in self._pending.values() for data in frames.values())

    def flush(self) -> None:
        """Write what was added in one transaction.

        Raises:
            FrameStoreError: If that fails, for example on a full disk.
        """
        while self._pending:
            try:
                with self._env.begin(write=True) as transaction:
                    for video, frames in self._pending.values():
                        self._write(transaction, video, frames)
            except lmdb.MapFullError:
                self._env.set_mapsize(2 * self._env.info()['map_size'])
            except lmdb.Error as error:
                raise FrameStoreError(f'cannot write to {self.folder}: {error}') from error
            else:
                self._pending.clear()

    @staticmethod
    def _read(transaction: lmdb.Transaction, name: str) -> StoredVideo | None:
        value = transaction.get(video_key(name).encode())
        return parse_video(None if value is None else bytes(value))

    def _write(
        self, transaction: lmdb.Transaction, video: StoredVideo, frames: Mapping[int, bytes]
    ) -> None:
        old = self._read(transaction, video.name)
        if old is not None:
            for number in old.numbers():
                transaction.delete(frame_key(old.frame_dir, number))
        fields = asdict(video)
        if frames:
            count = int(bytes(transaction.get(NEXT_NUMBER, b'0')))
            transaction.put(NEXT_NUMBER, str(count + 1).encode())
            fields['frame_dir'] = f'{count:08}'
        for number, picture in sorted(frames.items()):
            transaction.put(frame_key(fields['frame_dir'], number), picture)
        transaction.put(video_key(video.name).encode(), json.dumps(fields).encode())

    def _describe(self) -> None:
        data = self.folder / DATA
        content = dict(
            version=VERSION,
            settings=self.settings,
            bytes=data.stat().st_size if data.exists() else 0,
        )
        write_text(self.folder / DESCRIPTION, json.dumps(content, indent=2) + '\n')
