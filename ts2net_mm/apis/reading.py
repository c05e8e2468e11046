"""Read videos the way a model's test pipeline does, and say in one line why one cannot be read."""

import os
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from mmaction.registry import TRANSFORMS

from ..utils.workers import Failure
from ..video.errors import UnreadableVideoError, unreadable_reason

__all__ = ['Frame', 'FrameReader', 'PipelineReader', 'frame_seconds']


@dataclass(frozen=True)
class Frame:
    """One frame to look at.

    Args:
        jpeg: The encoded picture.
        seconds: When it is shown, or None if the pipeline does not tell.
        width: Of the picture, pixels.
        height: Of the picture, pixels.
    """

    jpeg: bytes
    seconds: float | None
    width: int
    height: int


class PipelineReader:
    """Run a pipeline on a video file; a file that cannot be read gives a ``Failure``.

    Args:
        pipeline: Configs of the transforms; the last one packs.
    """

    def __init__(self, *, pipeline: Sequence[dict]) -> None:
        self.transforms = [TRANSFORMS.build(dict(transform)) for transform in pipeline]

    def __call__(self, path: str) -> dict[str, Any] | Failure:
        """Return what the pipeline packs, with arrays for tensors: they travel as plain bytes.

        ``frame_seconds`` is added, see `frame_seconds`.
        """
        try:
            results = _open(path)
            for transform in self.transforms[:-1]:
                results = transform(results)
            seconds = frame_seconds(results)
            results = self.transforms[-1](results)
        except Exception as error:
            return Failure(explain(error, path))
        results['frame_seconds'] = seconds
        results['inputs'] = {key: np.asarray(value) for key, value in results['inputs'].items()}
        return results


class FrameReader:
    """Decode the frames that a model looks at, uncropped, as small pictures.

    Args:
        pipeline: Configs of the transforms; it is run until there are frames.
        max_frames: Most frames; of more, evenly spaced ones are taken.
        max_height: Height in pixels above which pictures are made smaller.
        large: By path, the seconds of frames that are kept in any case, and twice as high.
    """

    def __init__(
        self,
        *,
        pipeline: Sequence[dict],
        max_frames: int = 12,
        max_height: int = 180,
        large: Mapping[str, Collection[float]] | None = None,
    ) -> None:
        self.transforms = [TRANSFORMS.build(dict(transform)) for transform in pipeline]
        self.max_frames = max_frames
        self.max_height = max_height
        self.large = large or {}

    def __call__(self, path: str) -> list[Frame] | Failure:
        """Return the frames in their order."""
        try:
            results = _open(path)
            for transform in self.transforms:
                results = transform(results)
                if results.get('imgs') is not None:
                    break
            return self._pick(results, self.large.get(path, ()))
        except Exception as error:
            return Failure(explain(error, path))

    def _pick(self, results: dict, large: Collection[float]) -> list[Frame]:
        mask = np.asarray(results.get('frame_mask', np.ones(len(results['imgs']), dtype=bool)))
        valid = np.flatnonzero(mask)
        places = np.linspace(0, len(valid) - 1, min(len(valid), self.max_frames))
        seconds = [None if np.isnan(one) else float(one) for one in frame_seconds(results)]
        chosen = set(valid[places.round().astype(int)])
        chosen.update(index for index in valid if seconds[index] in large)
        return [
            self._encode(results['imgs'][index], seconds[index], 1 + (seconds[index] in large))
            for index in sorted(chosen)
        ]

    def _encode(self, image: np.ndarray, seconds: float | None, scale: int) -> Frame:
        height, width = image.shape[:2]
        if height > (limit := scale * self.max_height):
            width, height = max(1, round(width * limit / height)), limit
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        jpeg = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
        return Frame(jpeg, seconds, width, height)


def frame_seconds(results: dict) -> np.ndarray:
    """When each sampled frame is shown: (T,) float32, NaN where the pipeline does not tell."""
    frames = np.ravel(results.get('frame_inds', ())).astype(int)
    if (times := results.get('frame_times')) is not None:
        return times[frames].astype(np.float32)
    fps = results.get('avg_fps')
    return (frames / fps if fps else np.full(len(frames), np.nan)).astype(np.float32)


def explain(error: Exception, path: str) -> str:
    """Say in one line why a video could not be read."""
    if isinstance(error, UnreadableVideoError):
        return error.reason
    return unreadable_reason(path, error)


def _open(path: str) -> dict[str, Any]:
    """What a data set would hand to the pipeline; refuses a pipe, where reading never ends."""
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UnreadableVideoError('it is no regular file')
    return dict(filename=path, video_id=os.path.basename(path), start_index=0, modality='RGB')
