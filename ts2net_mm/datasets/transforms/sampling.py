"""Sample frames at a fixed rate up to a maximum number, as the released code does; reorder them."""

import math
import zlib
from typing import Literal, get_args

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ...video.errors import UnreadableVideoError

__all__ = ['ReorderFrames', 'SampleFramesByRate', 'frames_by_rate', 'frames_by_time']

Position = Literal['uniform', 'head', 'tail']
Order = Literal['reversed', 'shuffled']

ROUNDING = 1e-4  # seconds, of the times that files state
MAX_TRUNCATED = 0.05  # of a rate, beyond which parts of a video are taken by time


def frames_by_rate(
    total_frames: int,
    fps: float,
    *,
    frame_rate: int = 1,
    start: float | None = None,
    end: float | None = None,
) -> np.ndarray:
    """Return the numbers of the frames at a fixed rate, as the released loader does.

    The video's rate is truncated to a whole number, ``start`` is rounded down and ``end`` up to
    whole seconds, and the second that begins at ``end`` is included.

    Args:
        total_frames: Frames of the video.
        fps: Its frames per second.
        frame_rate: Frames to take per second.
        start: Start of the part, seconds; None for the start of the video.
        end: End of the part, seconds; None for the end of the video.

    Returns:
        Frame numbers from 0, ascending; empty if the part has no frames.
    """
    rate = max(1, int(fps))
    last_second = math.ceil(total_frames / rate)
    first = 0 if start is None else math.floor(start)
    last = last_second if end is None else min(math.ceil(end), last_second)
    step = max(1, rate // frame_rate)
    within_second = np.arange(0, rate, step)[:frame_rate]
    frames = (np.arange(first, last + 1)[:, None] * rate + within_second).ravel()
    return frames[frames < total_frames]


def frames_by_time(
    times: np.ndarray,
    *,
    frame_rate: int = 1,
    start: float | None = None,
    end: float | None = None,
) -> np.ndarray:
    """Return the numbers of the frames shown at a fixed rate, for a video of variable rate.

    The times are those at which `frames_by_rate` takes frames: ``start`` is rounded down and
    ``end`` up to whole seconds, and the second that begins at ``end`` is included.

    Args:
        times: When each of N frames is shown, and when the last one ends, seconds: (N + 1,).
        frame_rate: Frames to take per second.
        start: Start of the part, seconds; None for the start of the video.
        end: End of the part, seconds; None for the end of the video.

    Returns:
        Frame numbers from 0, ascending; a frame that is shown for long is repeated.
    """
    first = 0 if start is None else math.floor(start)
    last = math.ceil(times[-1]) if end is None else min(math.ceil(end), math.ceil(times[-1]))
    within_second = np.arange(frame_rate) / frame_rate
    wanted = (np.arange(first, last + 1)[:, None] + within_second).ravel()
    wanted = wanted[wanted < times[-1]]
    return np.maximum(np.searchsorted(times[:-1], wanted + ROUNDING, side='right') - 1, 0)


@TRANSFORMS.register_module()
class SampleFramesByRate(BaseTransform):
    """Sample frames at a fixed rate, and take ``num_frames`` of them.

    A video with fewer frames is padded with its last one, which ``frame_mask`` marks as False. At a
    constant rate the frames are those of `frames_by_rate`. At a variable rate, and for a part of a
    video if truncating the rate would miss more than 5 %, they are those of `frames_by_time`.

    Required keys: total_frames, avg_fps, filename; optional: frame_times (for a variable rate),
    start, end (seconds). Added keys: frame_inds, frame_mask, clip_len, frame_interval, num_clips.

    Args:
        num_frames: Frames of an item; 12 in the paper, 64 for ActivityNet and DiDeMo.
        frame_rate: Frames to take per second; 1 in the paper.
        position: Which ones to take if there are more: 'uniform' an evenly spaced subset, as the
            paper does, 'head' the first and 'tail' the last. The released code has 'head', 'tail'
            and 'uniform' as ``slice_framepos`` 0, 1 and 2.

    Raises:
        UnreadableVideoError: If the video, or its part from ``start`` to ``end``, has no frames.
    """

    def __init__(
        self, *, num_frames: int = 12, frame_rate: int = 1, position: Position = 'uniform'
    ) -> None:
        if num_frames < 1 or frame_rate < 1:
            raise ValueError(
                f'num_frames={num_frames} and frame_rate={frame_rate} must be at least 1'
            )
        if position not in get_args(Position):
            raise ValueError(
                f'position={position!r} is unknown, choose one of {get_args(Position)}'
            )
        self.num_frames = num_frames
        self.frame_rate = frame_rate
        self.position = position

    def transform(self, results: dict) -> dict:
        """Choose the frames of an item."""
        total, fps = results['total_frames'], results['avg_fps']
        start, end = results.get('start'), results.get('end')
        times = results.get('frame_times')
        if times is None and (start, end) != (None, None) and fps % 1 > MAX_TRUNCATED * fps:
            times = np.arange(total + 1) / fps  # else the part would be another one
        if times is not None:
            frames = frames_by_time(times, frame_rate=self.frame_rate, start=start, end=end)
        else:
            frames = frames_by_rate(total, fps, frame_rate=self.frame_rate, start=start, end=end)
        if not len(frames):
            part = f' between {start} and {end} seconds' if total else ''
            what = f'has no frames{part} ({total} frames, {fps:g} a second)'
            raise UnreadableVideoError(f'video {results["filename"]} {what}', reason=f'it {what}')
        if len(frames) > self.num_frames:
            frames = self._choose(frames)
        valid = len(frames)
        results['frame_inds'] = np.pad(frames, (0, self.num_frames - valid), mode='edge')
        results['frame_mask'] = np.arange(self.num_frames) < valid
        results['clip_len'] = self.num_frames
        results['frame_interval'] = None
        results['num_clips'] = 1
        return results

    def _choose(self, frames: np.ndarray) -> np.ndarray:
        if self.position == 'head':
            return frames[: self.num_frames]
        if self.position == 'tail':
            return frames[-self.num_frames :]
        return frames[np.linspace(0, len(frames) - 1, self.num_frames, dtype=int)]

    def __repr__(self) -> str:
        """Show the settings."""
        position = '' if self.position == 'uniform' else f', position={self.position!r}'
        return (
            f'{type(self).__name__}(num_frames={self.num_frames}, frame_rate={self.frame_rate}'
            f'{position})'
        )


@TRANSFORMS.register_module()
class ReorderFrames(BaseTransform):
    """Reverse or shuffle the decoded frames of a video, to see what a model knows about time.

    Padding stays at the end. A frame store needs it behind the step that resizes.

    Required keys: imgs (a list), filename; optional: video_id, frame_mask. Modified keys: imgs,
    frame_inds.

    Args:
        order: 'reversed', or 'shuffled' in an order that depends on the video alone.
        seed: Of the shuffled order.

    Raises:
        ValueError: If ``order`` is unknown.
    """

    def __init__(self, *, order: Order, seed: int = 0) -> None:
        if order not in get_args(Order):
            raise ValueError(f'order={order!r} is unknown, choose one of {get_args(Order)}')
        self.order = order
        self.seed = seed

    def transform(self, results: dict) -> dict:
        """Reorder the frames of an item."""
        places = np.arange(len(results['imgs']))
        valid = int(np.sum(results.get('frame_mask', np.ones_like(places))))
        places[:valid] = self._draw(valid, str(results.get('video_id', results['filename'])))
        results['imgs'] = [results['imgs'][place] for place in places]
        results['frame_inds'] = np.ravel(results['frame_inds'])[places]
        return results

    def _draw(self, number: int, video: str) -> np.ndarray:
        if self.order == 'reversed':
            return np.arange(number)[::-1]
        return np.random.default_rng([self.seed, zlib.crc32(video.encode())]).permutation(number)

    def __repr__(self) -> str:
        """Show the settings."""
        return f'{type(self).__name__}(order={self.order!r}, seed={self.seed})'
