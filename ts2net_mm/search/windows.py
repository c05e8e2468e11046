"""Cut long videos into overlapping windows, and read these as a model's test pipeline does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmaction.registry import TRANSFORMS

from ..apis.reading import begin_reading, explain_failure, frame_seconds_of, to_arrays
from ..utils.config_types import type_name
from ..utils.workers import Failure

__all__ = ['Part', 'ReadPart', 'WindowReader', 'Windowing', 'default_windowing']

BY_RATE, EVENLY = 'SampleFramesByRate', 'UniformSample'  # how a model samples frames
LIMIT = 2.0  # windows that a video is long before it is cut
ROUNDING = 1e-4  # seconds, of the times that files state
OVERLAP = 0.5  # of the default windows
MAX_WINDOWS = 16  # read at a time: 29 MB of 12 frames of 224 x 224 pixels


@dataclass(frozen=True)
class Windowing:
    """How videos are cut.

    Videos of at most two windows stay whole. Others are cut from their start on; the last window
    ends where the video ends.

    Args:
        window: Seconds of a window.
        stride: Seconds between the starts of two windows; half a window by default.

    Raises:
        ValueError: If a value is not positive, or windows would leave gaps.

    Example:
        >>> Windowing(10.0, 5.0).spans(28.0)
        [(0.0, 10.0), (5.0, 15.0), (10.0, 20.0), (15.0, 25.0), (18.0, 28.0)]
        >>> Windowing(10.0).spans(20.0)
        [(0.0, 20.0)]
    """

    window: float
    stride: float = 0.0

    def __post_init__(self) -> None:
        if not self.stride:
            object.__setattr__(self, 'stride', self.window * OVERLAP)
        if not 0 < self.stride <= self.window < math.inf:
            raise ValueError(
                f'window={self.window:g} and stride={self.stride:g} seconds: expected positive '
                'numbers, and a stride of at most a window'
            )

    def spans(self, duration: float) -> list[tuple[float, float]]:
        """Return start and end of each window of a video of some seconds."""
        if not duration > LIMIT * self.window:
            return [(0.0, duration)]
        last = duration - self.window
        starts = np.arange(math.ceil(last / self.stride)) * self.stride
        return [
            (round(start, 6), round(start + self.window, 6)) for start in [*starts.tolist(), last]
        ]


def default_windowing(pipeline: Sequence[dict]) -> Windowing | None:
    """Return windows as long as the frames that the model takes; None if that is not known.

    That is as many seconds as frames if the model spreads them evenly over a video.

    Args:
        pipeline: Configs of the transforms.
    """
    for step in pipeline:
        if type_name(step) == BY_RATE:
            sampler = TRANSFORMS.build(dict(step))
            return Windowing(sampler.num_frames / sampler.frame_rate)
        if type_name(step) == EVENLY:
            sampler = TRANSFORMS.build(dict(step))
            return Windowing(float(sampler.clip_len * sampler.num_clips))
    return None


@dataclass(frozen=True)
class Part:
    """Windows of a video that are read together.

    Args:
        path: The video.
        first: Number of the first window.
    """

    path: str
    first: int = 0


@dataclass(frozen=True, eq=False)
class ReadPart:
    """What was read of a part.

    Args:
        items: What the pipeline packs for each window, with ``frame_seconds``.
        spans: Start and end of every window of the video.
        duration: Seconds of the video; NaN if unknown.
    """

    items: list[dict[str, Any]]
    spans: list[tuple[float, float]]
    duration: float

    def following(self, path: str) -> list[Part]:
        """Return the parts that follow the first of a video."""
        return [Part(path, first) for first in range(MAX_WINDOWS, len(self.spans), MAX_WINDOWS)]


class WindowReader:
    """Run a pipeline on windows of a video; a video that cannot be read gives a ``Failure``.

    A window is read as if it were a video of its own, so that any sampler of frames works. Frames
    that two windows share are decoded once.

    Args:
        pipeline: Configs of the transforms; the last one packs.
        windowing: How videos are cut; None keeps them whole.
    """

    def __init__(self, *, pipeline: Sequence[dict], windowing: Windowing | None) -> None:
        self.transforms = [TRANSFORMS.build(dict(transform)) for transform in pipeline]
        self.windowing = windowing

    def __call__(self, part: Part) -> ReadPart | Failure:
        """Read a part of a video."""
        try:
            return self._read(part)
        except Exception as error:  # transforms and decoders raise many types
            return explain_failure(error, part.path)

    def _read(self, part: Part) -> ReadPart:
        results = begin_reading(part.path)
        number = 0
        while 'total_frames' not in results:
            results = self.transforms[number](results)
            number += 1
        times = _frame_times(results)
        duration = math.nan if times is None else float(times[-1])
        spans = self.windowing.spans(duration) if self.windowing else [(0.0, duration)]
        clips = [results]
        if times is not None and len(spans) > 1:
            chosen = spans[part.first : part.first + MAX_WINDOWS]
            clips = _cut(results, times, chosen)
        return ReadPart([self._finish(clip, number) for clip in clips], spans, duration)

    def _finish(self, clip: dict[str, Any], number: int) -> dict[str, Any]:
        """Run the transforms from a number on."""
        begin = clip.pop('clip_start', 0.0)
        for transform in self.transforms[number:-1]:
            clip = transform(clip)
        seconds = frame_seconds_of(clip) + np.float32(begin)
        return to_arrays(self.transforms[-1](clip), seconds)


def _frame_times(results: dict[str, Any]) -> np.ndarray | None:
    """When each frame is shown and when the last one ends, seconds: (N + 1,)."""
    if (times := results.get('frame_times')) is not None:
        return times
    fps = results.get('avg_fps')
    return np.arange(results['total_frames'] + 1) / fps if fps else None


def _cut(
    results: dict[str, Any], times: np.ndarray, spans: Sequence[tuple[float, float]]
) -> list[dict[str, Any]]:
    """Make a video of its own of each span, from what the first transforms found."""
    clips = []
    decoded: dict[int, np.ndarray] = {}
    for start, end in spans:
        first = max(0, int(np.searchsorted(times[:-1], start + ROUNDING, 'right')) - 1)
        last = max(first + 1, int(np.searchsorted(times[:-1], end - ROUNDING)))
        clip = results | dict(total_frames=last - first, clip_start=float(times[first]))
        if 'frame_times' in results:
            clip['frame_times'] = times[first : last + 1] - times[first]
        if 'video_reader' in results:
            clip['video_reader'] = _Clip(results['video_reader'], first, decoded)
        else:
            clip['offset'] = results.get('offset', 1) + first
        clips.append(clip)
    return clips


class _Clip:
    """Consecutive frames of a video reader, with the methods that the transforms call.

    Args:
        reader: The reader.
        first: Number of the first frame.
        decoded: Frames of the last call by their number, for clips that overlap.
    """

    def __init__(self, reader: Any, first: int, decoded: dict[int, np.ndarray]) -> None:
        self._reader = reader
        self._first = first
        self._decoded = decoded
        self._frames = np.empty(0)

    def get_batch(self, indices: Sequence[int] | np.ndarray) -> _Clip:
        """Decode frames by their numbers in the clip."""
        numbers = [self._first + int(index) for index in indices]
        missing = sorted(set(numbers) - self._decoded.keys())
        known = {number: self._decoded[number] for number in numbers if number in self._decoded}
        if missing:
            frames = self._reader.get_batch(missing).asnumpy()
            known.update(zip(missing, frames, strict=True))
        self._decoded.clear()
        self._decoded.update(known)
        self._frames = np.stack([known[number] for number in numbers])
        return self

    def asnumpy(self) -> np.ndarray:
        """Return what was decoded last."""
        return self._frames

    def seek(self, index: int) -> None:
        """Seek to the key frame before a frame."""
        self._reader.seek(self._first + index)

    def next(self) -> Any:
        """Decode the next frame."""
        return self._reader.next()
