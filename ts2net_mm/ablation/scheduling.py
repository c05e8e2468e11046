"""Run trainings and tests in processes, several at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import torch

from ..engine.resuming import checkpoints_to_resume
from ..utils.files import write_text
from ..utils.workers import available_cpus, die_with_parent
from .plan import Run
from .state import RunState, output_of, tested_checkpoint

__all__ = ['Launcher', 'run_all']

POLL_SECONDS = 0.2
STOP_SECONDS = 60.0  # for the checkpoint of a training that is stopped


@dataclass(frozen=True)
class Launcher:
    """How the processes of a run are started: as by hand, or by Slurm's srun.

    Args:
        tools: Folder of train.py and test.py.
        jobs: Runs at a time, which share the cores and GPUs of this machine.
        partition: Slurm's partition; None to start the processes on this machine.
    """

    tools: Path
    jobs: int = 1
    partition: str | None = None

    def command(self, run: Run, state: RunState) -> list[str]:
        """The command of the next step of a run: training, or its test."""
        name = 'test' if state.trained else 'train'
        if self.partition is None:
            start = [sys.executable, str(self.tools / f'{name}.py')]
        else:
            script = str(self.tools / f'slurm_{name}.sh')
            start = ['bash', script, self.partition, run.folder.name]
        command = [*start, str(run.config)]
        if state.trained:
            return [*command, str(tested_checkpoint(run)), '--work-dir', str(run.folder / 'test')]
        command += ['--work-dir', str(run.folder), '--seed', str(run.seed)]
        return [*command, '--resume'] if checkpoints_to_resume(run.folder) else command

    def environment(self, slot: int) -> dict[str, str]:
        """Variables of the run in a slot, 0 to jobs - 1: its threads and its GPU."""
        variables = dict(os.environ)
        if self.partition is not None:
            return variables
        variables.setdefault('OMP_NUM_THREADS', str(max(1, available_cpus() // self.jobs)))
        devices = variables.get('CUDA_VISIBLE_DEVICES') or ','.join(
            map(str, range(torch.cuda.device_count()))
        )
        if devices:
            names = devices.split(',')
            variables['CUDA_VISIBLE_DEVICES'] = names[slot % len(names)]
        return variables


@dataclass
class _Step:
    """A training or test that is running."""

    run: Run
    state: RunState
    slot: int
    process: subprocess.Popen
    log: IO[str]
    begin: int  # of its output in the log, bytes
    started: float = field(default_factory=time.monotonic)


def run_all(
    runs: Sequence[Run],
    launcher: Launcher,
    *,
    on_start: Callable[[Run, RunState], None] = lambda run, state: None,
    on_end: Callable[[Run, RunState], None] = lambda run, state: None,
) -> None:
    """Train and test the runs that are not done; a failing run does not stop the others.

    An interruption ends the trainings as SIGTERM does: each saves a checkpoint, from which the next
    call continues.

    Args:
        runs: The runs, those with a source behind it.
        launcher: How their processes are started.
        on_start: Called before each training or test.
        on_end: Called when a run is done or has failed.
    """
    waiting = [run for run in runs if not RunState.from_folder(run).is_done]
    active: list[_Step] = []
    try:
        while waiting or active:
            for run in _ready(waiting, active, launcher.jobs):
                waiting.remove(run)
                _begin(run, active, launcher, on_start, on_end)
            time.sleep(POLL_SECONDS if active else 0)
            for step in [step for step in active if step.process.poll() is not None]:
                active.remove(step)
                step.log.close()
                code, seconds = step.process.returncode, time.monotonic() - step.started
                step.state.record(step.run, code, seconds, step.begin)
                if not step.state.failure and not step.state.is_done:
                    _begin(step.run, active, launcher, on_start, on_end)
                else:
                    on_end(step.run, step.state)
    finally:
        _stop(active)


def _ready(waiting: Sequence[Run], active: Sequence[_Step], jobs: int) -> list[Run]:
    """The next runs to begin, which do not wait for the training of another."""
    unfinished = {id(run) for run in waiting} | {id(step.run) for step in active}
    ready = [run for run in waiting if run.source is None or id(run.source) not in unfinished]
    return ready[: jobs - len(active)]


def _begin(
    run: Run,
    active: list[_Step],
    launcher: Launcher,
    on_start: Callable[[Run, RunState], None],
    on_end: Callable[[Run, RunState], None],
) -> None:
    """Start the next step of a run in a free slot."""
    state = RunState.from_folder(run)
    if run.source is not None and not RunState.from_folder(run.source).trained:
        state.failure = f'{run.source} has no weights'
        state.save(run)
        on_end(run, state)
        return
    slot = min(set(range(launcher.jobs)) - {step.slot for step in active})
    write_text(run.config, run.cfg.pretty_text)
    on_start(run, state)
    run.folder.mkdir(parents=True, exist_ok=True)
    state.failure = ''
    log = output_of(run).open('a', encoding='utf-8')
    begin = log.tell()
    process = subprocess.Popen(
        launcher.command(run, state),
        stdout=log,
        stderr=subprocess.STDOUT,
        env=launcher.environment(slot),
        start_new_session=True,  # Ctrl-C reaches this process alone, which then ends the others
        preexec_fn=die_with_parent,
    )
    active.append(_Step(run, state, slot, process, log, begin))


def _stop(active: Sequence[_Step]) -> None:
    """End all processes, and those that they started."""
    for step in active:
        step.process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for step in active:
        with suppress(subprocess.TimeoutExpired):
            step.process.wait(max(0.0, deadline - time.monotonic()))
        with suppress(ProcessLookupError):
            os.killpg(step.process.pid, signal.SIGKILL)
        step.process.wait()
        step.log.close()
        step.state.seconds += time.monotonic() - step.started
        step.state.save(step.run)
