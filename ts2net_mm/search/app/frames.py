"""Decode frames of moments as small pictures, and keep those that were decoded last."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from ...apis.reading import to_jpeg
from ...utils.workers import Failure, available_cpus
from ...video import GuardedVideoReader
from ...video.errors import UnreadableVideoError, unreadable_reason

__all__ = ['FrameCache', 'FramesAt']

MAX_HEIGHT = 144  # pixels
TIMEOUT = 30.0  # seconds for opening a video, and again for decoding its frames
ROUNDING = 1e-3  # seconds; tolerance for times that an index keeps in single precision
NUM_KEPT = 512  # moments; about 30 MB of 12 frames each


@dataclass(frozen=True)
class FramesAt:
    """Frames of a video at some times.

    Args:
        path: The video.
        seconds: Presentation times of the frames.
        version: Changes with the file, so that frames of an earlier version are not shown.
    """

    path: str
    seconds: tuple[float, ...]
    version: tuple[int, ...] = ()


class FrameCache:
    """Decodes frames; each thread has a helper process, which a damaged video may crash.

    Args:
        num_threads: Most videos that are decoded at a time; by default one per CPU.
    """

    def __init__(self, num_threads: int | None = None) -> None:
        self._pool = ThreadPoolExecutor(num_threads or available_cpus(), 'frames')
        self._lock = threading.Lock()
        self._kept: OrderedDict[FramesAt, Future[list[bytes] | Failure]] = OrderedDict()

    def get(self, wanted: FramesAt) -> Future[list[bytes] | Failure]:
        """Return the JPEG pictures of frames, or why there are none; failures are not kept."""
        with self._lock:
            future = self._kept.get(wanted)
            if future is None or (future.done() and isinstance(future.result(), Failure)):
                future = self._kept[wanted] = self._pool.submit(_decode, wanted)
            self._kept.move_to_end(wanted)
            if len(self._kept) > NUM_KEPT:
                self._kept.popitem(last=False)
        return future

    def close(self) -> None:
        """Decode nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _decode(wanted: FramesAt) -> list[bytes] | Failure:
    try:
        reader = GuardedVideoReader(wanted.path, timeout=TIMEOUT, square_pixels=True)
        last = len(reader) - 1
        numbers = [max(0, min(_frame_at(reader, time), last)) for time in wanted.seconds]
        images = reader.get_batch(numbers).asnumpy()
        return [to_jpeg(image, MAX_HEIGHT)[0] for image in images]
    except UnreadableVideoError as error:
        return Failure(error.reason)
    except Exception as error:  # decoders raise many types
        return Failure(unreadable_reason(wanted.path, error))


def _frame_at(reader: GuardedVideoReader, seconds: float) -> int:
    if reader.times is None:
        return int((seconds + ROUNDING) * reader.get_avg_fps())
    return bisect_right(reader.times[:-1], seconds + ROUNDING) - 1
