"""Apply a function to many items in processes that may crash or hang."""

import ctypes
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

__all__ = ['Failure', 'available_cpus', 'die_with_parent', 'map_in_workers']

Item = TypeVar('Item')
PR_SET_PDEATHSIG = 1  # Linux: the signal to receive when the parent dies


@dataclass(frozen=True)
class Failure:
    """A failed item.

    Args:
        reason: Why, in one line.
        is_final: Whether the item itself is the reason, so that another attempt would fail too.
    """

    reason: str
    is_final: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class _Raised:
    """An error that the function raised."""

    error: Exception


def available_cpus() -> int:
    """Number of CPUs this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_in_workers(
    function: Callable[[Item], Any],
    items: Iterable[Item],
    *,
    num_workers: int | None = None,
    ordered: bool = True,
    timeout: float | None = None,
    max_ahead: int = 16,
) -> Generator[tuple[Item, Any], None, None]:
    """Yield (item, result); an item whose process crashes or hangs gives a ``Failure``.

    Closing the iterator, an error and an interrupt kill all workers and the processes that they
    started; on Linux they also end with this process. Workers print and log nothing.

    Args:
        function: The function. It returns a ``Failure`` for errors it expects.
        items: Its arguments.
        num_workers: Number of processes; one per CPU by default.
        ordered: Yield in the order of the items instead of as they finish.
        timeout: Seconds for one item; None for no limit.
        max_ahead: If ordered, the most items that are started or finished but not yet yielded; at
            least one per process.

    Raises:
        Exception: The one that ``function`` raised.
    """
    waiting = deque(enumerate(items))
    num_workers = max(1, min(num_workers or available_cpus(), len(waiting)))
    max_ahead = max(max_ahead, num_workers)
    idle: list[_Worker] = []
    busy: list[_Worker] = []
    finished: dict[int, tuple[Item, Any]] = {}
    num_yielded = 0

    def hand_out() -> None:
        while waiting and len(busy) < num_workers:
            if ordered and waiting[0][0] >= num_yielded + max_ahead:
                return
            worker = idle.pop() if idle else _Worker(function)
            busy.append(worker)
            worker.begin(*waiting.popleft(), timeout)

    try:
        while waiting or busy:
            hand_out()
            for worker in _wait_for_any(busy):
                result = worker.result(timeout)
                busy.remove(worker)
                if worker.process.is_alive():
                    idle.append(worker)
                if isinstance(result, _Raised):
                    raise result.error
                finished[worker.number] = worker.item, result
            while finished and (not ordered or num_yielded in finished):
                done = finished.pop(num_yielded if ordered else next(iter(finished)))
                num_yielded += 1
                hand_out()  # keeps the workers busy while the caller uses the result
                yield done
    finally:
        for worker in idle + busy:
            worker.kill()


class _Worker:
    """A process that applies a function to one item after another."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        # after a crash, a new interpreter would have to import all libraries again
        context: Any = multiprocessing.get_context('fork' if sys.platform == 'linux' else 'spawn')
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(function, theirs, self.connection), daemon=True
        )
        # inherited; Ctrl-C must not reach the process before it has its own process group
        previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, previous)
        theirs.close()

    def begin(self, number: int, item: Any, timeout: float | None) -> None:
        self.number, self.item = number, item
        self.deadline = time.monotonic() + timeout if timeout else float('inf')
        with suppress(BrokenPipeError):  # it died while idle; `result` reports it
            self.connection.send(item)

    def result(self, timeout: float | None) -> Any:
        """Receive the result; kill the process if there is none."""
        if not self.connection.poll():
            self.kill()
            return Failure(f'no answer within {timeout:g} seconds')
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.kill()
            return Failure('the decoder crashed on it')

    def kill(self) -> None:
        """Kill the process and all processes that it started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (AttributeError, ProcessLookupError, PermissionError):
            self.process.kill()
        self.process.join()
        self.connection.close()


def _wait_for_any(busy: list[_Worker]) -> list[_Worker]:
    """Wait for workers that have answered, died or taken too long."""
    first = min(worker.deadline for worker in busy)
    left = None if first == float('inf') else max(0.0, first - time.monotonic())
    ready = wait([worker.connection for worker in busy], timeout=left)
    now = time.monotonic()
    return [worker for worker in busy if worker.connection in ready or worker.deadline <= now]


def _serve(function: Callable[[Any], Any], connection: Connection, other_end: Connection) -> None:
    other_end.close()
    os.setpgid(0, 0)  # Ctrl-C goes to the parent alone, which then kills this group
    die_with_parent()
    logging.disable()
    # decord prints the whole content of a file that it cannot open, from C++
    sys.stdout = sys.stderr = open(os.devnull, 'w')  # noqa: SIM115
    os.dup2(sys.stdout.fileno(), 1)
    os.dup2(sys.stdout.fileno(), 2)
    _use_one_thread()
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        try:
            result = function(item)
        except Exception as error:
            result = _Raised(error)
        try:
            connection.send(result)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            connection.send(_Raised(RuntimeError(f'{type(error).__name__}: {error}')))


def _use_one_thread() -> None:
    """Processes share the cores, and a forked process lacks the threads of its parent."""
    if torch := sys.modules.get('torch'):
        torch.set_num_threads(1)
    if cv2 := sys.modules.get('cv2'):
        cv2.setNumThreads(0)


def die_with_parent() -> None:
    """On Linux, kill this process when its parent ends."""
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
