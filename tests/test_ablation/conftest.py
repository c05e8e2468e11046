"""A plan, and what its runs leave on the disk."""

import json
from pathlib import Path

import pytest

from ts2net_mm.ablation import read_plan, runs_of

CONFIG = """
num_frames = 6
model = dict(type='TS2Net', backbone=dict(shift_layers=(1, 2)))
sampling = dict(type='SampleFrames', clip_len=num_frames)
train_cfg = dict(max_epochs=2)
default_hooks = dict(checkpoint=dict(interval=1, save_best=None))
work_dir = 'elsewhere'
"""
PLAN = """
title: A comparison
config: config.py
seeds: [0, 1, 2]
metrics: [t2v/R1, v2t/R1]
variants:
  - name: ts2net
  - name: no-shift
    options: {model.backbone.shift_layers: []}
  - name: shuffled
    weights_of: ts2net
    options: {num_frames: 3}
"""


@pytest.fixture
def write_plan(tmp_path):
    """Function that writes a plan and its config; returns the plan's path."""

    def write(text: str = PLAN, config: str = CONFIG) -> Path:
        (tmp_path / 'config.py').write_text(config)
        path = tmp_path / 'plan.yml'
        path.write_text(text)
        return path

    return write


@pytest.fixture
def plan(write_plan):
    return read_plan(write_plan())


@pytest.fixture
def runs(plan, tmp_path):
    return runs_of(plan, tmp_path / 'work')


@pytest.fixture
def finish():
    """Function that writes what a run leaves: its state and the log of its validation."""

    def write(run, test: dict[str, float], curve: dict[int, float], **changes) -> None:
        logs = run.folder / '20260101_000000' / 'vis_data'
        logs.mkdir(parents=True)
        lines = [{'t2v/R1': value, 'v2t/R1': 0.0, 'step': step} for step, value in curve.items()]
        lines.insert(0, {'loss': 1.0, 'iter': 1, 'step': 1})
        (logs / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)) + '\n{"t2v/R1": 9')
        state = dict(digest=run.digest, seconds=36.0, trained=True, metrics=test, failure='')
        (run.folder / 'run.json').write_text(json.dumps(state | changes))

    return write
