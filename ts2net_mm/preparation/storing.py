"""Decode videos into a frame store, each of them once."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import cv2
import numpy as np
from mmaction.registry import DATASETS
from mmengine.config import Config

from ..datasets.frame_store import StoredVideo, video_name
from ..datasets.stored_steps import StoredSteps, decoding_pipeline
from ..utils.text import one_line
from ..utils.workers import Failure
from ..video.errors import DECODING_ERRORS, UnreadableVideoError, unreadable_reason

__all__ = ['PictureFormat', 'VideoStorer', 'VideoToStore', 'videos_to_store']

SPLITS = ('train', 'val', 'test')
FRAMES_AT_A_TIME = 32  # of 1920 x 1080 pixels they take 200 MB


@dataclass(frozen=True)
class PictureFormat:
    """How pictures are stored.

    Args:
        name: 'jpeg'; without loss 'png', or 'bmp', which is larger and takes no time to decode.
        quality: Of JPEG, 1 to 100.
    """

    name: Literal['jpeg', 'png', 'bmp'] = 'jpeg'
    quality: int = 95

    @property
    def settings(self) -> dict[str, Any]:
        """What a store keeps of it."""
        return dict(format=self.name, quality=self.quality if self.name == 'jpeg' else None)

    def encode(self, image: np.ndarray) -> bytes:
        """Encode an RGB picture."""
        options = dict(
            # colours in full, where cameras halve them: frames are small already
            jpeg=[
                cv2.IMWRITE_JPEG_QUALITY,
                self.quality,
                cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
                cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
            ],
            png=[cv2.IMWRITE_PNG_COMPRESSION, 1],
        )
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode(f'.{self.name}', bgr, options.get(self.name, []))
        if not done:
            raise RuntimeError(f'OpenCV cannot encode a frame of shape {image.shape}')
        return data.tobytes()


@dataclass
class VideoToStore:
    """A video of a config's data sets.

    Args:
        name: Its name in the annotations.
        path: Its file.
        steps: Numbers of the pipelines that read it.
        kept: Frames that a store holds for other configs, and that stay.
        fps: Frame rate that its annotation states, for a folder of pictures.
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
        cfg: A config of training or testing; it may read the frame store that is to be made.
        splits: Its data loaders that count; those that it does not have are left out.

    Raises:
        ValueError: If there is none, pipelines decode or resize differently, or a name stands for
            two files.
    """
    videos: dict[str, VideoToStore] = {}
    steps: list[StoredSteps] = []
    first = ''
    for split in splits:
        for dataset_cfg in _datasets((cfg.get(f'{split}_dataloader') or {}).get('dataset')):
            pipeline = decoding_pipeline(dataset_cfg['pipeline'])
            with _named_config(cfg):
                mine = StoredSteps.from_pipeline(pipeline)
                # all of its annotation, as a data set asks for when it starts
                dataset = DATASETS.build(dict(dataset_cfg, pipeline=pipeline, indices=None))
            if steps and mine.settings != steps[0].settings:
                raise ValueError(
                    f'the {first} data decode or resize by {steps[0].settings}, the {split} data '
                    f'by {mine.settings}; make a store of each with --splits'
                )
            first = first or split
            steps.append(mine)
            for index in range(len(dataset)):
                item = dataset.get_data_info(index)
                name, path = video_name(item), item['filename']
                video = videos.setdefault(name, VideoToStore(name, path, fps=item.get('fps')))
                if os.path.realpath(video.path) != os.path.realpath(path):
                    raise ValueError(
                        f'{name!r} stands for {video.path} and for {path}; make a store of each '
                        'split with --splits'
                    )
                video.steps.add(len(steps) - 1)
    if not steps:
        raise ValueError(f'config {cfg.filename} has no data loader of {", ".join(splits)}')
    return list(videos.values()), steps


@contextmanager
def _named_config(cfg: Config) -> Iterator[None]:
    """Say which config names an unknown type or argument."""
    try:
        yield
    except (KeyError, TypeError) as error:
        raise ValueError(
            f'the data of config {cfg.filename} cannot be built: {one_line(error)}'
        ) from error


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
    """Decodes one video after the other.

    Args:
        steps: The pipelines that read them; they differ in their sampling alone.
        pictures: How frames are stored.
    """

    steps: Sequence[StoredSteps]
    pictures: PictureFormat

    def is_done(self, video: VideoToStore, known: StoredVideo | None) -> bool:
        """Tell whether a store holds all that is needed of a video as it is; if not, set ``kept``.

        Args:
            video: The video.
            known: What the store knows of it.
        """
        if known is None or known.reason or not known.is_of(os.stat(video.path)):
            return False
        video.kept = known.frames or ()
        return known.holds(self._needed_frames(video, known))

    def __call__(self, video: VideoToStore) -> tuple[StoredVideo, dict[int, bytes]] | Failure:
        """Return what a store needs, or why the video cannot be decoded."""
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
        """Join what all pipelines need."""
        needed = [np.array(video.kept, dtype=int)]
        for index in video.steps:
            frames = self.steps[index].needed_frames(known)
            if frames is None:
                return None
            needed.append(frames)
        return np.unique(np.concatenate(needed))

    def _open(self, video: VideoToStore) -> dict[str, Any]:
        item = dict(filename=video.path, video_id=video.name, start_index=0, modality='RGB')
        if video.fps is not None:
            item['fps'] = video.fps
        return self.steps[0].opening(item)

    def _decode(self, video: VideoToStore, numbers: np.ndarray) -> dict[int, bytes]:
        """Decode and resize, a few frames at a time."""
        pictures: dict[int, bytes] = {}
        for start in range(0, len(numbers), FRAMES_AT_A_TIME):
            part = numbers[start : start + FRAMES_AT_A_TIME]
            # opened anew, because some decoders only go forward from where they stopped
            results = self.steps[0].decoding(dict(self._open(video), frame_inds=part))
            if self.steps[0].resizing:
                results = self.steps[0].resizing(results)
            pictures.update(
                zip(part.tolist(), map(self.pictures.encode, results['imgs']), strict=True)
            )
        return pictures
