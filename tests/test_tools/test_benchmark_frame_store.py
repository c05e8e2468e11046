"""The benchmark of the frame store runs at tiny sizes."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from tiny import shrinking_options

FOLDER = Path(__file__).resolve().parents[2] / 'tools/benchmarks'
MODULES = ('measuring', 'report', 'resize_fidelity', 'frame_store')


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module('frame_store')
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_clips_are_read_and_features_move(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, 'CLIP_SECONDS', 2)
    monkeypatch.setattr(benchmark, 'QUALITIES', (20, 95))
    work = benchmark.clips(tmp_path, 2)
    report = str(benchmark.reading(work, 'clips', ('jpeg', 'png'), 1))
    assert 'clips: 2 items' in report
    assert 'png: pixels of 2 items are those of decoding' in report
    assert re.search(r'decoding / store, jpeg, \d MB +[\d.]+', report)
    work.cfg.merge_from_dict(shrinking_options(work.cfg.model))
    torch.manual_seed(0)
    _, _, *rows = benchmark.features(work, None)
    moved = [float(row.split()[5].strip('%')) for row in rows]
    assert moved[0] > moved[1] > 0


@pytest.mark.slow
def test_training_reads_both(benchmark, project, tmp_path):
    cfg = Config.fromfile(project / 'config.py')
    report = benchmark.training(benchmark.Work(cfg, tmp_path), 1)
    assert 'an epoch of 5 items, training with 0 workers' in report
    assert re.search(r'decoding / store +[\d.]+ +[\d.]+$', report)


def test_a_wrong_pixel_is_found(benchmark):
    items = [dict(inputs=dict(imgs=torch.zeros(2, 3, 4, 4)))]
    others = [dict(inputs=dict(imgs=torch.ones(2, 3, 4, 4)))]
    assert benchmark.check_lossless(items, items) == 'pixels of 1 items are those of decoding'
    with pytest.raises(RuntimeError, match='item 0 differs from decoding'):
        benchmark.check_lossless(items, others)
