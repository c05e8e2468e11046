"""Work shared by processes that never outlive the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

Item = TypeVar('Item')


def work_through(
    function: Callable[[Item], None], items: Sequence[Item], *, workers: int
) -> Generator[None, None, None]:
    """Call ``function`` on every item and yield once for each that is done.

    Closing the iterator, an interrupt and an error stop all processes.

    Args:
        function: What to do.
        items: What to do it to; each process has a fixed share.
        workers: Number of processes; with 1 everything happens in this one.

    Raises:
        RuntimeError: If a process dies.
        Exception: What ``function`` raised.
    """
    # Elsewhere a new process would import the whole package, which takes longer than the work.
    if min(workers, len(items)) <= 1 or sys.platform != 'linux':
        for item in items:
            function(item)
            yield
        return
    started: dict[Connection, Any] = {}
    try:
        _start(started, function, items, workers)
        yield from _reports(started)
    finally:
        for process in started.values():
            process.terminate()
        for process in started.values():
            process.join()


def _start(
    started: dict[Connection, Any],
    function: Callable[[Item], None],
    items: Sequence[Item],
    workers: int,
) -> None:
    context = multiprocessing.get_context('fork')
    # The children inherit this: Ctrl-C reaches the parent alone, which then stops them.
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for share in range(min(workers, len(items))):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(
                target=_work, args=(function, items[share::workers], sender, os.getpid())
            )
            process.start()
            started[receiver] = process
            sender.close()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _work(
    function: Callable[[Item], None], items: Sequence[Item], sender: Connection, parent: int
) -> None:
    """Do one share and report each item: None, or the error that ends the work."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for item in items:
        if os.getppid() != parent:  # it was killed: nobody waits for the rest
            return
        error = None
        try:
            function(item)
        except Exception as caught:
            error = caught
        try:
            sender.send(error)
        except BrokenPipeError:
            return
        if error is not None:
            return


def _reports(started: dict[Connection, Any]) -> Iterator[None]:
    running = list(started)
    while running:
        for receiver in wait(running):
            assert isinstance(receiver, Connection)
            try:
                error = receiver.recv()
            except EOFError:
                running.remove(receiver)
                _check_ended_well(started[receiver])
                continue
            if error is not None:
                raise error
            yield


def _check_ended_well(process: Any) -> None:
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f'a rendering process died (exit code {process.exitcode})')
