"""Decode videos in threads, and keep what was decoded last."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from ...utils.workers import Failure, available_cpus
from ...video import GuardedVideoReader
from ...video.errors import UnreadableVideoError, unreadable_reason

__all__ = ['DecodingCache', 'Job', 'open_video']

Result = TypeVar('Result', covariant=True)
TIMEOUT = 30.0  # seconds for opening a video, and again for each call
ROUNDING = 1e-3  # seconds; tolerance for times that an index keeps in single precision


class Job(Protocol[Result]):
    """Something to decode; equal jobs have equal results."""

    @property
    def path(self) -> str:
        """The video."""
        ...

    def run(self) -> Result:
        """Decode."""
        ...


class DecodingCache(Generic[Result]):
    """Runs jobs in threads; each thread has a helper process, which a damaged video may crash.

    Args:
        num_kept: Number of results that are kept. Failures are not.
        num_threads: Most jobs at a time; by default one per CPU.
    """

    def __init__(self, num_kept: int, num_threads: int | None = None) -> None:
        self._num_kept = num_kept
        self._pool = ThreadPoolExecutor(num_threads or available_cpus(), 'decoding')
        self._lock = threading.Lock()
        self._kept: OrderedDict[Job[Result], Future[Result | Failure]] = OrderedDict()

    def get(self, job: Job[Result]) -> Future[Result | Failure]:
        """Return the result of a job, or why there is none, as soon as it is known."""
        with self._lock:
            future = self._kept.get(job)
            if future is None or (future.done() and isinstance(future.result(), Failure)):
                future = self._kept[job] = self._pool.submit(_run, job)
            self._kept.move_to_end(job)
            if len(self._kept) > self._num_kept:
                self._kept.popitem(last=False)
        return future

    def close(self) -> None:
        """Start no more jobs."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def open_video(path: str) -> GuardedVideoReader:
    """Open a video, whose pixels become square."""
    return GuardedVideoReader(path, timeout=TIMEOUT, square_pixels=True)


def frames_at(reader: GuardedVideoReader, seconds: Sequence[float]) -> list[int]:
    """Return the numbers of the frames shown at some times; outside the video the first or last."""
    if reader.times is None:
        rate = reader.get_avg_fps()
        numbers = [int((time + ROUNDING) * rate) for time in seconds]
    else:
        numbers = [bisect_right(reader.times, time + ROUNDING) - 1 for time in seconds]
    return [max(0, min(number, len(reader) - 1)) for number in numbers]


def _run(job: Job[Result]) -> Result | Failure:
    try:
        return job.run()
    except UnreadableVideoError as error:
        return Failure(error.reason)
    except Exception as error:  # decoders raise many types
        return Failure(unreadable_reason(job.path, error))
