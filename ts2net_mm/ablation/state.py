"""What is on the disk of a run: how far it is, and what it measured."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..engine.resuming import checkpoints_to_resume
from ..evaluation.report import read_test_metrics
from ..utils.files import write_text
from .plan import Run

__all__ = ['RunState', 'curve_of', 'output_of', 'reason_of_failure', 'tested_checkpoint']

STATE = 'run.json'
OUTPUT = 'output.txt'
ERROR = re.compile(r'(?:^|\w\.py: )error: (.+)|^(?:\[rank\d+\]: )?([\w.]*(?:Error|Exception)\b.*)')


@dataclass
class RunState:
    """How far a run is; kept in ``run.json`` of its folder.

    Args:
        digest: Digest of the run.
        seconds: Time of training and test so far.
        trained: Whether training has ended.
        metrics: Metrics of the test; empty until it has ended.
        failure: Why the last attempt failed, in one line.
    """

    digest: str
    seconds: float = 0.0
    trained: bool = False
    metrics: dict[str, float] = field(default_factory=dict)
    failure: str = ''

    @classmethod
    def from_folder(cls, run: Run) -> RunState:
        """Read the state of a run, which may not have begun.

        Raises:
            ValueError: If the file is damaged.
        """
        path = run.folder / STATE
        if not path.exists():
            return cls(run.digest, trained=run.source is not None)
        try:
            state = cls(**json.loads(path.read_text(encoding='utf-8')))
        except (ValueError, TypeError) as error:
            message = f'{path}: damaged ({error}); remove the folder to repeat the run'
            raise ValueError(message) from error
        if state.digest != run.digest:  # equal in its first letters
            raise ValueError(f'{path}: is of another config or seed; remove the folder')
        return state

    def save(self, run: Run) -> None:
        """Write the state, complete or not at all."""
        write_text(run.folder / STATE, json.dumps(asdict(self), indent=1) + '\n')

    def record(self, run: Run, code: int, seconds: float, begin: int = 0) -> None:
        """Note the end of a step, training or test, whose output begins at a byte; save."""
        self.seconds += seconds
        self.failure = '' if code == 0 else reason_of_failure(run, code, begin)
        try:
            if code == 0 and self.trained:
                self.metrics = read_test_metrics(run.folder)
            elif code == 0:
                self.trained = bool(tested_checkpoint(run))
        except (OSError, ValueError) as error:
            self.failure = str(error)
        self.save(run)

    @property
    def is_done(self) -> bool:
        """Whether training and test have ended."""
        return bool(self.metrics)


def output_of(run: Run) -> Path:
    """The file with what training and test have printed."""
    return run.folder / OUTPUT


def tested_checkpoint(run: Run) -> Path:
    """The checkpoint that a trained run tests.

    Raises:
        ValueError: If there is none.
    """
    if run.source is not None:
        return tested_checkpoint(run.source)
    if run.checkpoint == 'last':
        found = checkpoints_to_resume(run.folder)[:1]
    else:
        found = sorted(run.folder.glob('best_*.pth'), key=lambda path: path.stat().st_mtime)[-1:]
    if not found:
        raise ValueError(f'{run.folder} has no {run.checkpoint} checkpoint')
    return found[0]


def reason_of_failure(run: Run, code: int, begin: int = 0) -> str:
    """The last error in the output of a run from a byte on, or its exit code."""
    text = output_of(run).read_bytes()[begin:].decode(errors='replace')
    found = [match for line in text.splitlines() if (match := ERROR.search(line))]
    return (found[-1][1] or found[-1][2])[:300] if found else f'exit code {code}'


def curve_of(run: Run, metric: str) -> dict[int, float]:
    """Values of a metric on validation, by iteration; a resumed run has several logs."""
    trained = run.source or run
    curve: dict[int, float] = {}
    for path in sorted(trained.folder.glob('*/vis_data/scalars.json')):
        for line in path.read_text(encoding='utf-8').splitlines():
            try:
                values = json.loads(line)
            except ValueError:  # a line that a killed run has not finished
                continue
            if metric in values and 'step' in values:
                curve[int(values['step'])] = float(values[metric])
    return dict(sorted(curve.items()))
