"""Measure each side in a process of its own, in alternating rounds.

A side is sent to its process as a function that builds it, so that the memory of that process is
the memory of this side: libraries, weights and what it computes.
"""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import torch
from measuring import Measurement, Side, watch
from mmengine.logging import MMLogger

__all__ = ['Job', 'LazySide', 'measure_apart']


class Job(NamedTuple):
    """What a side does.

    Args:
        run: Does the work once.
        output: Computes what is compared with the other sides.
    """

    run: Callable[[], Any]
    output: Callable[[], Any]


@dataclass(frozen=True)
class LazySide:
    """A side that is built in its own process.

    Args:
        name: How the report calls it.
        build: Builds it; a function of a module, or a partial of one.
        scale: How many times the whole task is larger than what it does.
    """

    name: str
    build: Callable[[], Job]
    scale: float = 1.0


def measure_apart(
    sides: Sequence[LazySide], repeats: int
) -> tuple[list[Measurement], dict[str, Any]]:
    """Build all sides, run each once to warm up, then all in turn.

    Returns:
        Time and memory of each side, and the outputs by name.

    Raises:
        RuntimeError: If a side fails, with its traceback.
    """
    processes: list[_Process] = []
    try:
        processes += [_Process(side) for side in sides]
        outputs = {process.measurement.side.name: process.ask('output') for process in processes}
        for process in processes:
            process.ask('run')
        for _ in range(repeats):
            for process in processes:
                process.measure()
    finally:
        for process in processes:
            process.stop()
    return [process.measurement for process in processes], outputs


class _Process:
    """The process of a side, and what was measured in it."""

    def __init__(self, side: LazySide) -> None:
        # forked, it would share memory with this process and hang in OpenMP's threads
        context = get_context('spawn')
        self._connection, remote = context.Pipe()
        arguments = remote, side.build, torch.get_num_threads()
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        remote.close()
        self.measurement = Measurement(Side(side.name, lambda: self.ask('run'), side.scale))

    def ask(self, order: str) -> Any:
        """Let the process run once, or compute its output."""
        name = self.measurement.side.name
        try:
            self._connection.send(order)
            succeeded, answer = self._connection.recv()
        except (EOFError, OSError) as error:
            self._process.join()
            raise RuntimeError(f'{name}: its process ended ({self._process.exitcode})') from error
        if not succeeded:
            raise RuntimeError(f'{name} failed:\n{answer}')
        return answer

    def measure(self) -> None:
        """Run once and keep the time, and the memory if it is the most so far."""
        seconds, cpu_seconds, memory = self.ask('run')
        one = self.measurement
        one.seconds.append(seconds * one.side.scale)
        one.cpu_seconds.append(cpu_seconds * one.side.scale)
        if memory:
            one.peak = max(one.peak or 0, memory.growth)
            one.process_peak = max(one.process_peak or 0, memory.peak)

    def stop(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.terminate()
        self._process.join()


def _serve(connection: Connection, build: Callable[[], Job], threads: int) -> None:
    torch.set_num_threads(threads)
    MMLogger.get_instance('benchmarks', log_level='ERROR')  # else each drawn weight is logged
    try:
        job = build()
        while True:
            connection.send((True, _obey(job, connection.recv())))
    except EOFError:  # the other end was closed
        return
    except Exception:
        connection.send((False, traceback.format_exc()))


def _obey(job: Job, order: str) -> Any:
    if order == 'output':
        return job.output()
    measurement = Measurement(Side('', job.run))
    memory = watch(measurement.run_once)[1]
    return measurement.seconds[0], measurement.cpu_seconds[0], memory
