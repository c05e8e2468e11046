"""Read videos as a model's test pipeline does: arrays for the model, pictures for people."""

import os
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmaction.registry import TRANSFORMS
from mmengine.config import Config

from ..datasets import FrameFolderInit, VideoInit
from ..datasets.stored_steps import decoding_pipeline
from ..utils.config_types import type_name
from ..utils.workers import Failure
from ..video.errors import DecoderEndedError, UnreadableVideoError, unreadable_reason
from ..video.video_files import VideoFile, find_frame_folders, find_videos

__all__ = [
    'Frame',
    'FrameReader',
    'PipelineReader',
    'VIDEO_TIMEOUT',
    'begin_reading',
    'explain_failure',
    'find_readable',
    'frame_seconds_of',
    'split_test_pipeline',
    'to_arrays',
    'to_jpeg',
    'with_threads',
]

TEXT_TRANSFORM = 'TokenizeCaptions'
ROUNDING = 1e-3  # seconds; tolerance for times in single precision
DECODER_TIMEOUT = 60.0  # seconds for opening a video, and again for decoding its frames
# Seconds for a whole video in a worker. It ends transforms that have no time limit, so it is above
# what a guarded decoder may take: 120 to start its helper, 60 to open and 60 to decode.
VIDEO_TIMEOUT = 600.0


def split_test_pipeline(cfg: Config) -> tuple[list[dict], dict]:
    """Return the test pipeline for videos alone, and the transform that tokenises sentences.

    Decoding is guarded even if the config says ``DecordInit``, and pixels are square unless the
    config says otherwise.

    Raises:
        ValueError: If the config has no test pipeline, or the pipeline does not tokenise captions.
    """
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    pipeline = dataset.get('pipeline') or cfg.get('test_pipeline')
    if not pipeline:
        raise ValueError(f'config {cfg.filename} has no test pipeline')
    video_pipeline, text_transform = [], None
    for transform in decoding_pipeline(pipeline):  # a frame store has none of these videos
        transform = dict(transform)
        if type_name(transform) == TEXT_TRANSFORM:
            text_transform = transform
            continue
        if type_name(transform) == 'DecordInit' and transform.get('io_backend', 'disk') == 'disk':
            # the same frames, but a video that hangs or crashes the decoder is skipped
            threads = transform.get('num_threads', 1)
            transform = dict(type='GuardedDecordInit', timeout=DECODER_TIMEOUT, num_threads=threads)
        elif _is_video_init(transform) and transform.get('decoder', 'pyav') == 'pyav':
            transform.setdefault('square_pixels', True)
        if 'text' in (keys := transform.get('collect_keys') or ()):
            transform['collect_keys'] = tuple(key for key in keys if key != 'text')
        video_pipeline.append(transform)
    if text_transform is None:
        raise ValueError(
            f'the test pipeline of config {cfg.filename} has no {TEXT_TRANSFORM}, '
            f'found {[type_name(transform) for transform in pipeline]}'
        )
    return video_pipeline, text_transform


def with_threads(pipeline: Sequence[dict], num_threads: int) -> list[dict]:
    """Decode each video with several threads, unless the config sets their number.

    This is not part of `split_test_pipeline` because a gallery must not depend on the number of
    cores.
    """
    return [
        dict(num_threads=num_threads) | step if _is_video_init(step) else step for step in pipeline
    ]


def _is_video_init(transform: dict) -> bool:
    return type_name(transform) == VideoInit.__name__


def find_readable(folder: str | Path, pipeline: Sequence[dict]) -> list[VideoFile]:
    """List what a test pipeline may read in a folder: files of any kind, or folders of pictures.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If there is nothing to read.
    """
    folders = [step for step in pipeline if type_name(step) == FrameFolderInit.__name__]
    if folders:
        template = TRANSFORMS.build(folders[0]).filename_tmpl
        videos = find_frame_folders(folder, template)
        what = f'folder of pictures like {template.format(1)}'
    else:
        videos, what = find_videos(folder, extensions=None), 'video file'
    if not videos:
        raise ValueError(f'there is no {what} in {folder}')
    return videos


@dataclass(frozen=True)
class Frame:
    """A frame to show.

    Args:
        number: Its place among the frames that the model samples, or that were asked for.
        jpeg: The encoded picture.
        width: Pixels.
        height: Pixels.
        seconds: Its presentation time, or None if the pipeline does not tell.
    """

    number: int
    jpeg: bytes
    width: int
    height: int
    seconds: float | None


class PipelineReader:
    """Run a pipeline on a video; a video that cannot be read gives a ``Failure``.

    Args:
        pipeline: Configs of the transforms; the last one packs.
    """

    def __init__(self, *, pipeline: Sequence[dict]) -> None:
        self.transforms = [TRANSFORMS.build(dict(transform)) for transform in pipeline]

    def __call__(self, path: str) -> dict[str, Any] | Failure:
        """Return what the pipeline packs, and the presentation times as ``frame_seconds``.

        Inputs are arrays, because tensors would be sent through shared memory.
        """
        try:
            results = begin_reading(path)
            for transform in self.transforms[:-1]:
                results = transform(results)
            seconds = frame_seconds_of(results)
            results = self.transforms[-1](results)
        except Exception as error:  # transforms and decoders raise many types
            return explain_failure(error, path)
        return to_arrays(results, seconds)


class FrameReader:
    """Decode the frames that a model sees, uncropped, as small pictures.

    Args:
        pipeline: Configs of the transforms; it is run until there are frames.
        max_frames: Number of frames above which evenly spaced ones are taken.
        max_height: Height in pixels above which pictures are made smaller.
        large: By path, the times of frames that are always kept, and twice as high.
        times: By path, the times of frames to take, in their order, instead of those that the
            model samples of the whole video.
    """

    def __init__(
        self,
        *,
        pipeline: Sequence[dict],
        max_frames: int = 12,
        max_height: int = 180,
        large: Mapping[str, Collection[float]] | None = None,
        times: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        self.transforms = [TRANSFORMS.build(dict(transform)) for transform in pipeline]
        self.max_frames = max_frames
        self.max_height = max_height
        self.large = large or {}
        self.times = times or {}

    def __call__(self, path: str) -> list[Frame] | Failure:
        """Return the frames in their order."""
        try:
            results, wanted = begin_reading(path), self.times.get(path, ())
            for transform in self.transforms:
                results = transform(results)
                if wanted and 'frame_inds' in results:
                    results = _with_frames_at(results, wanted)
                    wanted = ()
                if results.get('imgs') is not None:
                    break
            return self._pick(results, self.large.get(path, ()))
        except Exception as error:  # transforms and decoders raise many types
            return explain_failure(error, path)

    def _pick(self, results: dict, large: Collection[float]) -> list[Frame]:
        mask = np.asarray(results.get('frame_mask', np.ones(len(results['imgs']), dtype=bool)))
        valid = np.flatnonzero(mask)
        places = np.linspace(0, len(valid) - 1, min(len(valid), self.max_frames))
        shown = results.get('wanted_seconds', frame_seconds_of(results))
        seconds = [None if np.isnan(time) else float(time) for time in shown]
        chosen = set(places.round().astype(int).tolist())
        chosen.update(place for place, index in enumerate(valid) if seconds[index] in large)
        frames = []
        for place in sorted(chosen):
            index = valid[place]
            height = self.max_height * (2 if seconds[index] in large else 1)
            frames.append(Frame(place, *to_jpeg(results['imgs'][index], height), seconds[index]))
        return frames


def _with_frames_at(results: dict, seconds: Sequence[float]) -> dict:
    """Replace the frames that a sampler chose by those shown at some times, if these are known."""
    if (times := results.get('frame_times')) is not None:
        starts = times[:-1]
    elif fps := results.get('avg_fps'):
        starts = np.arange(results['total_frames']) / fps
    else:
        return results
    numbers = np.searchsorted(starts, np.asarray(seconds) + ROUNDING, 'right') - 1
    results = results | dict(frame_inds=np.maximum(numbers, 0), wanted_seconds=list(seconds))
    results.pop('frame_mask', None)
    return results


def to_jpeg(image: np.ndarray, max_height: int) -> tuple[bytes, int, int]:
    """Encode a picture, made smaller if it is higher; return also its width and height.

    Args:
        image: RGB.
        max_height: Pixels.

    Shape:
        image: (H, W, 3) uint8
    """
    height, width = image.shape[:2]
    if height > max_height:
        width, height = max(1, round(width * max_height / height)), max_height
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    jpeg = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return jpeg, width, height


def begin_reading(path: str) -> dict[str, Any]:
    """Return what a data set passes to the pipeline; raise for a pipe, whose reading never ends."""
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UnreadableVideoError('it is no regular file')
    return dict(filename=path, video_id=os.path.basename(path), start_index=0, modality='RGB')


def frame_seconds_of(results: dict) -> np.ndarray:
    """Presentation time of each sampled frame: (T,) float32, NaN if the pipeline does not tell."""
    frames = np.ravel(results.get('frame_inds', ())).astype(int)
    if (times := results.get('frame_times')) is not None:
        return times[frames].astype(np.float32)
    fps = results.get('avg_fps')
    return (frames / fps if fps else np.full(len(frames), np.nan)).astype(np.float32)


def to_arrays(packed: dict[str, Any], seconds: np.ndarray) -> dict[str, Any]:
    """Add the times of the frames to what a pipeline packed, with inputs as arrays."""
    inputs = {key: np.asarray(value) for key, value in packed['inputs'].items()}
    return packed | dict(inputs=inputs, frame_seconds=seconds)


def explain_failure(error: Exception, path: str) -> Failure:
    """Say in one line why a video cannot be read."""
    may_pass = isinstance(error, DecoderEndedError | OSError | MemoryError)
    if isinstance(error, UnreadableVideoError):
        reason = error.reason
    else:
        reason = unreadable_reason(path, error)
    return Failure(reason, is_final=not may_pass)
