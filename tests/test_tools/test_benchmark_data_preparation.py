"""The benchmark of the preparation runs at tiny sizes."""

import importlib
import re
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / 'tools/benchmarks'
MODULES = ('measuring', 'report', 'data_preparation')


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module('data_preparation')
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(('name', 'train', 'test'), [('msrvtt', 24, 4), ('vatex', 20, 2)])
def test_it_counts_and_measures(benchmark, tmp_path, name, train, test):
    sizes = benchmark.Sizes(
        msrvtt_train=5,
        msrvtt_test=4,
        msrvtt_1ka=1,
        msrvtt_captions=3,
        vatex_train=5,
        vatex_held_out=2,
        vatex_captions=4,
    )
    lines = benchmark.run(name, tmp_path, sizes)
    assert lines[0] == f'{name}:'
    assert re.fullmatch(r'  preparation, without the import of the libraries: [\d.]+ s.*', lines[1])
    assert re.match(rf'  start of train\w*\.json, {train} items: [\d.]+ s', lines[2])
    assert re.match(rf'  start of test\w*\.json, {test} items: [\d.]+ s', lines[3])


def test_the_sizes_are_the_published_ones(benchmark):
    sizes = benchmark.Sizes()
    training_videos = sizes.msrvtt_train + sizes.msrvtt_test - sizes.msrvtt_1ka
    assert training_videos * sizes.msrvtt_captions == 180_000
    assert sizes.vatex_train * sizes.vatex_captions == 259_910
