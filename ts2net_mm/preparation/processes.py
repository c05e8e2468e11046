"""Work on files in processes that may crash or hang, and that nothing outlives."""

import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from ..apis.workers import Failure

__all__ = ['die_with_parent', 'work_on_each']

Item = TypeVar('Item')
PR_SET_PDEATHSIG = 1  # Linux: signal to get when the parent dies


@dataclass
class _Worker(Generic[Item]):
    """A process, what it works on, and until when."""

    process: Any
    connection: Connection
    item: Item
    deadline: float


def work_on_each(
    function: Callable[[Item], Any],
    items: Iterable[Item],
    *,
    jobs: int,
    timeout: float | None = None,
) -> Iterator[tuple[Item, Any]]:
    """Yield (item, result) as they are done; a crash and a hang give a ``Failure``.

    Closing the iterator, an interrupt and the end of this process kill all processes, and those
    that they have started.

    Args:
        function: What to apply; it returns a ``Failure`` for errors it knows.
        items: Its arguments.
        jobs: Number of processes.
        timeout: Seconds for one item.

    Raises:
        RuntimeError: If ``function`` raises.
    """
    waiting = deque(items)
    workers: list[_Worker] = []
    try:
        while waiting or workers:
            while waiting and len(workers) < jobs:
                workers.append(_start(function, waiting.popleft(), timeout))
            for worker in _next_done(workers):
                result = _result(worker, timeout)
                workers.remove(worker)
                if isinstance(result, Exception):
                    raise RuntimeError(f'{worker.item}: {result!r}') from result
                # a process that is well works on while the caller looks at the result
                if waiting and not isinstance(result, Failure) and worker.process.is_alive():
                    workers.append(_hand_over(worker, waiting.popleft(), timeout))
                else:
                    _kill(worker)
                yield worker.item, result
    finally:
        for worker in workers:
            _kill(worker)


def _deadline(timeout: float | None) -> float:
    return time.monotonic() + timeout if timeout else float('inf')


def _start(function: Callable[[Item], Any], item: Item, timeout: float | None) -> _Worker[Item]:
    # a new interpreter would import all libraries again for every crash
    method = 'fork' if sys.platform == 'linux' else 'spawn'
    context: Any = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(function, theirs, ours), daemon=True)
    # inherited until the process has become deaf to Ctrl-C
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
    theirs.close()
    ours.send(item)
    return _Worker(process, ours, item, _deadline(timeout))


def _hand_over(worker: _Worker[Item], item: Item, timeout: float | None) -> _Worker[Item]:
    worker.connection.send(item)
    return _Worker(worker.process, worker.connection, item, _deadline(timeout))


def _next_done(workers: list[_Worker]) -> list[_Worker]:
    """Wait for a worker that has answered, died, or taken too long."""
    first = min(worker.deadline for worker in workers)
    left = None if first == float('inf') else max(0.0, first - time.monotonic())
    ready = wait([worker.connection for worker in workers], timeout=left)
    now = time.monotonic()
    return [worker for worker in workers if worker.connection in ready or worker.deadline <= now]


def _result(worker: _Worker, timeout: float | None) -> Any:
    if not worker.connection.poll():
        return Failure(f'no answer within {timeout:g} seconds')
    try:
        return worker.connection.recv()
    except (EOFError, ConnectionResetError):
        return Failure('the decoder crashed on it')


def _kill(worker: _Worker) -> None:
    """End a process and all that it has started."""
    try:
        os.killpg(worker.process.pid, signal.SIGKILL)
    except (AttributeError, ProcessLookupError, PermissionError):
        worker.process.kill()
    worker.process.join()
    worker.connection.close()


def _work(function: Callable[[Any], Any], connection: Connection, other_end: Connection) -> None:
    other_end.close()
    os.setpgid(0, 0)  # Ctrl-C goes to the parent alone, which then kills this group
    die_with_parent()
    # Below Python, decord prints the whole content of a file that it cannot open.
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        try:
            result = function(item)
        except Exception as error:
            result = error
        connection.send(result)


def die_with_parent() -> None:
    """Let this process be killed when the one that started it ends, on Linux."""
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
