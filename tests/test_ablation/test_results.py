"""Tables and figures of runs whose numbers are known."""

import csv
from dataclasses import replace

import cv2
import pytest
from scipy.stats import ttest_rel

from ts2net_mm.ablation import (
    curve_of,
    draw_figures,
    format_results,
    missing_metrics,
    read_rows,
    write_results,
)
from ts2net_mm.ablation.results import paired_difference

BASE, OTHER = (90.0, 95.0, 91.0), (80.0, 88.0, 86.0)


@pytest.fixture
def rows(plan, runs, finish):
    """The base and the second variant are done, and one test of the third."""
    for run in runs:
        values = {'ts2net': BASE, 'no-shift': OTHER, 'shuffled': (50.0, None, None)}
        value = values[run.variant][run.seed]
        if value is not None:
            finish(run, {'t2v/R1': value, 'v2t/R1': 1.0}, {10: value - 20, 20: value - 1})
    return read_rows(plan, runs)


def test_intervals_are_those_of_a_paired_t_test():
    found = paired_difference(dict(enumerate(OTHER)), dict(enumerate(BASE)))
    low, high = ttest_rel(OTHER, BASE).confidence_interval(0.95)
    assert found.mean - found.half_width == pytest.approx(low)
    assert found.mean + found.half_width == pytest.approx(high)
    assert found.count == 3


def test_only_seeds_that_both_have_are_compared():
    found = paired_difference({0: 1.0, 2: 5.0}, {2: 4.0, 3: 100.0})
    assert (found.mean, found.count, found.rounded()) == (1.0, 1, '+1.0')
    assert paired_difference({0: 1.0}, {1: 1.0}).rounded() == '-'


def test_table(plan, rows):
    table = format_results(plan, rows)
    assert '| ts2net | t2v/R1 | 92.0 | 2.6 | 3 |  |' in table
    assert '| no-shift | t2v/R1 | 84.7 | 4.2 | 3 | -7.3 ± 6.3 |' in table
    assert '| shuffled | t2v/R1 | 50.0 | - | 1 | -40.0 |' in table
    assert '- 7 of 9 runs, 0.1 hours' in table
    assert 'failed' not in table


def test_csv_has_a_row_for_each_run(plan, rows, tmp_path):
    write_results(plan, rows, tmp_path / 'results.csv')
    with (tmp_path / 'results.csv').open() as file:
        found = list(csv.DictReader(file))
    assert len(found) == 9
    first = found[0]
    assert (first['variant'], first['seed'], first['status']) == ('ts2net', '0', 'done')
    assert (first['val t2v/R1'], first['test t2v/R1'], first['hours']) == ('89.0', '90.0', '0.0100')
    assert (found[5]['variant'], found[5]['status'], found[5]['test t2v/R1']) == (
        'shuffled',
        'open',
        '',
    )


def test_logged_values_are_the_last_of_each_training(plan, runs, rows, tmp_path):
    for run in runs[:3]:  # the three trainings and tests of seed 0
        logs = run.folder / 'log' / 'vis_data'
        logs.mkdir(parents=True, exist_ok=True)
        share = dict(ts2net=0.25, shuffled=0.9).get(run.variant, 0.125)
        lines = (
            f'{{"saturated": {value}, "step": {step}}}' for step, value in ((1, 0), (2, share))
        )
        (logs / 'scalars.json').write_text('\n'.join(lines))
    plan = replace(plan, logged=('saturated',))
    rows = read_rows(plan, runs)
    table = format_results(plan, rows)
    assert '| ts2net | train saturated | 0.250 | - | 1 |  |' in table
    assert '| no-shift | train saturated | 0.125 | - | 1 | -0.125 |' in table
    assert '| shuffled | train saturated' not in table  # it tests the weights of another
    write_results(plan, rows, tmp_path / 'results.csv')
    with (tmp_path / 'results.csv').open() as file:
        found = [line['train saturated'] for line in csv.DictReader(file)]
    assert sorted(found) == ['', '', '', '', '', '', '', '0.125', '0.25']


def test_a_failure_is_in_both(plan, runs, finish, tmp_path):
    finish(runs[0], {}, {}, trained=False, failure='out of memory, at last')
    rows = read_rows(plan, runs)
    write_results(plan, rows, tmp_path / 'results.csv')
    assert 'failed,0.0100,,,,,' in (tmp_path / 'results.csv').read_text()
    assert '- failed: ts2net, seed 0: out of memory, at last' in format_results(plan, rows)


def test_a_metric_that_was_not_measured_is_named(plan, runs, finish):
    finish(runs[0], {'t2v/R1': 1.0}, {})
    rows = read_rows(plan, runs)
    assert missing_metrics(plan, rows) == ['ts2net, seed 0: its test has no v2t/R1, only t2v/R1']
    assert '- ts2net, seed 0: its test has no v2t/R1' in format_results(plan, rows)
    assert rows[0].test == {'t2v/R1': 1.0}


def test_curves_of_a_resumed_run_are_joined(runs, finish):
    run = runs[0]
    finish(run, {}, {10: 1.0, 20: 2.0})
    logs = run.folder / '20260102_000000' / 'vis_data'
    logs.mkdir(parents=True)
    (logs / 'scalars.json').write_text('{"t2v/R1": 2.5, "step": 20}\n{"t2v/R1": 3, "step": 30}\n')
    assert curve_of(run, 't2v/R1') == {10: 1.0, 20: 2.5, 30: 3.0}
    assert curve_of(runs[2], 't2v/R1') == curve_of(run, 't2v/R1')  # it tests these weights


def test_figures_are_pictures(plan, rows, runs, tmp_path):
    written = draw_figures(plan, rows, tmp_path)
    assert [path.name for path in written] == ['curves.png', 'results.png']
    for path in written:
        assert cv2.imread(str(path)).std() > 5
    (tmp_path / 'results.png').unlink()


def test_a_panel_for_each_logged_value(plan, rows, tmp_path):
    plan = replace(plan, logged=('v2t/R5', 't2v/R1'))  # the first is not there
    assert [path.name for path in draw_figures(plan, rows, tmp_path)] == [
        'curves.png',
        'logged.png',
        'results.png',
    ]
    one = cv2.imread(str(tmp_path / 'logged.png')).shape
    two = replace(plan, logged=('t2v/R1', 't2v/R1'))
    draw_figures(two, rows, tmp_path)
    assert cv2.imread(str(tmp_path / 'logged.png')).shape[1] > 1.3 * one[1]


def test_no_figures_before_there_are_results(plan, runs, tmp_path):
    assert draw_figures(plan, read_rows(plan, runs), tmp_path) == []
