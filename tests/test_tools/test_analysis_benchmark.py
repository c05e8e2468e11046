"""The benchmark of a test with many captions a video, at tiny sizes."""

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / 'tools/benchmarks'
MODULES = ('measuring', 'report', 'multi_caption_evaluation')


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module('multi_caption_evaluation')
    for name in MODULES:
        sys.modules.pop(name, None)


def test_sizes_are_as_asked(benchmark):
    samples = benchmark.draw_predictions(benchmark.Sizes(videos=9, texts=40, frames=3, dims=8))
    counts = [len(one['features']['text_features']) for one in samples]
    assert len(counts) == 9
    assert sum(counts) == 40
    assert len(set(counts)) > 1  # ragged
    assert min(counts) >= 1
    assert samples[0]['features']['frame_features'].shape == (3, 8)


@pytest.mark.parametrize('queries', [0, 30])
def test_report(benchmark, queries):
    report = benchmark.run(
        2, benchmark.Sizes(videos=9, texts=40, frames=3, dims=8, queries=queries)
    )
    (measurement,) = report.measurements
    assert len(measurement.seconds) == 2
    assert ('queries in the bank' in report.title) == bool(queries)
    assert ('t2v_qb/R1' in measurement.side.run()) == bool(queries)
    assert report.notes[-1] == 'within the limits'
    assert 'slowest round' in str(report)


def test_what_takes_too_long_is_said(benchmark, monkeypatch):
    monkeypatch.setattr(benchmark, 'MAX_SECONDS', 0)
    report = benchmark.run(1, benchmark.Sizes(videos=3, texts=5, frames=2, dims=4))
    assert report.notes[-1] == 'NOT within the limits'


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--videos', '1'], 'argument --videos: 1 is not a whole number of at least 2'),
        (['--queries', '-1'], '-1 is not a whole number of at least 0'),
        (['--repeats', 'x'], 'argument --repeats: x is not a whole number of at least 1'),
        (
            ['--texts', '10', '--videos', '20'],
            '--texts 10 is less than one for each of --videos 20',
        ),
    ],
)
def test_wrong_arguments(benchmark, capsys, arguments, message):
    with pytest.raises(SystemExit):
        benchmark.main(arguments)
    assert message in capsys.readouterr().err
