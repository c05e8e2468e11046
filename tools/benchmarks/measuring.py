"""Run several implementations in turn, and measure their time and memory."""

import gc
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

import ts2net_mm
from ts2net_mm.utils.memory import release_freed_memory

__all__ = [
    'Measurement',
    'Side',
    'describe_machine',
    'machine',
    'measure',
    'saved_bytes',
    'watch',
]


@dataclass(frozen=True)
class Side:
    """One of the implementations that are compared.

    Args:
        name: How the report calls it.
        run: Does the work once.
        scale: How many times the whole task is larger than what ``run`` does.
        saved: Bytes that are kept for the backward pass, where that was counted.
    """

    name: str
    run: Callable[[], Any]
    scale: float = 1.0
    saved: int | None = None


@dataclass
class Measurement:
    """What one side needed.

    Args:
        side: The implementation.
        peak: Most bytes resident while it ran, above those before; None where that is unknown.
        process_peak: Most bytes of the whole process, where the side has a process of its own.
        seconds: Duration of each round, extrapolated to the whole task.
        cpu_seconds: The same on the clock of the process, all threads together; other programs on
            the machine hardly change it.
    """

    side: Side
    peak: int | None = None
    process_peak: int | None = None
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median duration."""
        return statistics.median(self.seconds)

    @property
    def median_cpu(self) -> float:
        """Median of the CPU time."""
        return statistics.median(self.cpu_seconds)

    def run_once(self) -> Any:
        """Run the side, note its time and give its result."""
        start, cpu_start = time.perf_counter(), time.process_time()
        output = self.side.run()
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        self.seconds.append(seconds * self.side.scale)
        self.cpu_seconds.append(cpu_seconds * self.side.scale)
        return output


@dataclass(frozen=True)
class Memory:
    """Resident bytes of the process before something ran, and the most while it ran."""

    before: int
    peak: int

    @property
    def growth(self) -> int:
        """Most bytes above those before."""
        return self.peak - self.before


def measure(sides: Sequence[Side], repeats: int) -> list[Measurement]:
    """Run each side once to warm up, once watching its memory, then all in turn for their time."""
    results = []
    for side in sides:
        side.run()
        memory = watch(side.run)[1]
        results.append(Measurement(side, memory.growth if memory else None))
    for _ in range(repeats):
        for result in results:
            result.run_once()
    return results


def watch(run: Callable[[], Any]) -> tuple[Any, Memory | None]:
    """Run something once and give its result and its memory (known on Linux only)."""
    gc.collect()
    release_freed_memory()  # else what runs next takes it without becoming larger
    try:
        Path('/proc/self/clear_refs').write_text('5')  # the peak starts anew
        before = _resident('VmRSS')
    except OSError:
        return run(), None
    result = run()
    return result, Memory(before, _resident('VmHWM'))


def _resident(key: str) -> int:
    status = Path('/proc/self/status').read_text()
    return int(re.findall(rf'{key}:\s+(\d+) kB', status)[0]) * 1024


def saved_bytes(forward: Callable[[], Any], without: Iterable[Tensor] = ()) -> int:
    """Count the bytes that a forward pass keeps for the backward pass, shared ones once.

    Args:
        forward: The pass; it returns what holds the graph.
        without: Tensors that are not counted, such as the weights.
    """
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        # without its graph, else an operation that keeps its own output is never freed
        return tensor.detach()

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        output = forward()
    del output
    for tensor in without:
        kept.pop(tensor.untyped_storage().data_ptr(), None)
    return sum(kept.values())


def machine() -> dict[str, Any]:
    """Facts of the machine and the versions of the libraries."""
    cpu = platform.processor() or platform.machine()
    if (cpuinfo := Path('/proc/cpuinfo')).exists():
        cpu = (re.findall(r'model name\s*:\s*(.+)', cpuinfo.read_text()) or [cpu])[0]
    affinity = getattr(os, 'sched_getaffinity', None)
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30
    return dict(
        cores=len(affinity(0)) if affinity else os.cpu_count(),
        cpu=cpu.strip(),
        memory_gib=round(memory),
        system=platform.system(),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        python=platform.python_version(),
        torch=torch.__version__,
        ts2net_mm=ts2net_mm.__version__,
        threads=torch.get_num_threads(),
        load_average=round(os.getloadavg()[0], 1),
    )


def describe_machine() -> str:
    """Name what the numbers were measured on."""
    facts = machine()
    gpu = f', {facts["gpu"]}' if facts['gpu'] else ''
    return (
        f'machine: {facts["cores"]} cores of {facts["cpu"]}, {facts["memory_gib"]} GiB, '
        f'{facts["system"]}{gpu}; Python {facts["python"]}, torch {facts["torch"]}, threads: '
        f'{facts["threads"]}, load average before: {facts["load_average"]}'
    )
