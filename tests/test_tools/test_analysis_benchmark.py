"""The benchmark of a test with many captions a video, at tiny sizes."""

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / 'tools/benchmarks'


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module('multi_caption_evaluation')
    for name in ('measuring', 'report', 'multi_caption_evaluation'):
        sys.modules.pop(name, None)


def test_sizes_are_as_asked(benchmark):
    samples = benchmark.draw_predictions(benchmark.Sizes(videos=9, texts=40, frames=3, dims=8))
    counts = [len(sample['features']['text_features']) for sample in samples]
    assert (len(counts), sum(counts)) == (9, 40)
    assert len(set(counts)) > 1  # ragged
    assert min(counts) >= 1
    assert samples[0]['features']['frame_features'].shape == (3, 8)


@pytest.mark.parametrize('queries', [0, 30])
def test_report(benchmark, monkeypatch, queries):
    monkeypatch.setattr(benchmark, 'MAX_SECONDS', 0 if queries else 60)
    sizes = benchmark.Sizes(videos=9, texts=40, frames=3, dims=8, queries=queries)
    report = benchmark.run(2, sizes)
    (measurement,) = report.measurements
    assert len(measurement.seconds) == 2
    assert ('queries in the bank' in report.title) == bool(queries)
    assert ('t2v_qb/R1' in measurement.side.run()) == bool(queries)
    assert report.notes[-1] == ('NOT within the limits' if queries else 'within the limits')


def test_wrong_arguments(benchmark, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(['--texts', '10', '--videos', '20'])
    assert '--texts 10 is less than one for each of --videos 20' in capsys.readouterr().err
