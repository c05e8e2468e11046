"""Apply a function to many items in worker processes that may die."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import cv2
import torch

from ..utils.workers import available_cpus

__all__ = ['Failure', 'default_num_workers', 'map_in_workers']


@dataclass(frozen=True)
class Failure:
    """Stands for a result that could not be had.

    Args:
        reason: One line.
    """

    reason: str


# What a worker process applies; set when it starts, so that it is sent once and not with each item
_function: Callable[[Any], Any]


def default_num_workers() -> int:
    """Number of CPU cores that this process may use, at most 8."""
    return min(8, available_cpus())


def map_in_workers(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    num_workers: int | None = None,
    max_ahead: int = 16,
) -> Iterator[tuple[Any, Any]]:
    """Yield (item, result) in the order of the items.

    A decoder may crash on a damaged file and take its process with it (decord does), so each item
    that was under way when a worker died is tried again in a worker of its own, and only the guilty
    one becomes a ``Failure``. (A ``DataLoader`` ends with an error then, which names no item.)

    Args:
        function: What to apply; picklable. It returns a ``Failure`` for errors it knows.
        items: Its arguments; picklable.
        num_workers: Processes; ``default_num_workers()`` by default.
        max_ahead: Most items under way or finished before the caller asks for them, if that keeps
            all processes busy.
    """
    waiting = deque(items)
    num_workers = min(num_workers or default_num_workers(), max(1, len(waiting)))
    while waiting:
        suspects = yield from _map_until_crash(
            function, waiting, num_workers, max(max_ahead, num_workers)
        )
        for item in suspects:
            alone = deque([item])
            crashed = yield from _map_until_crash(function, alone, 1, 1)
            if crashed:
                yield item, Failure('the decoder crashed on it')


def _map_until_crash(
    function: Callable[[Any], Any], waiting: deque, num_workers: int, max_ahead: int
) -> Generator[tuple[Any, Any], None, list]:
    """Take items off ``waiting``; return those that were under way when a worker died."""
    under_way: deque = deque()
    futures: deque[Future] = deque()
    pool = ProcessPoolExecutor(num_workers, initializer=_start_worker, initargs=(function,))
    try:
        while waiting or under_way:
            while waiting and len(under_way) < max_ahead:
                under_way.append(waiting.popleft())
                futures.append(pool.submit(_call, under_way[-1]))
            result = futures[0].result()
            futures.popleft()
            yield under_way.popleft(), result
    except BrokenProcessPool:
        return list(under_way)
    finally:
        pool.shutdown(cancel_futures=True)
    return []


def _start_worker(function: Callable[[Any], Any]) -> None:
    """Prepare a worker process: one thread, silent, deaf to Ctrl-C, gone when its parent is."""
    global _function
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    logging.disable()
    # Below Python, decord prints the whole content of a file that it cannot open.
    sys.stdout = sys.stderr = open(os.devnull, 'w')  # noqa: SIM115
    os.dup2(sys.stdout.fileno(), 1)
    os.dup2(sys.stdout.fileno(), 2)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(item: Any) -> Any:
    return _function(item)
