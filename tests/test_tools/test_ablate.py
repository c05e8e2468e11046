"""The command line of the comparisons, with real trainings of a few seconds."""

import csv

import pytest

from ts2net_mm.evaluation.report import read_test_metrics

PLAN = """
config: config.py
seeds: [3]
hours: 0.5
variants:
  - name: base
  - name: hard
    weights_of: base
    options: {model.neck.test_mode: hard}
"""


@pytest.fixture
def ablate(load_tool, project, tmp_path):
    """Function that runs the tool in this process; returns its exit code."""
    (project / 'plan.yml').write_text(PLAN)

    def run(*arguments: str) -> int:
        command = [project / 'plan.yml', '--work-dir', tmp_path / 'work', *arguments]
        return load_tool('ablate.py').main(list(map(str, command)))

    return run


def test_a_dry_run_shows_the_runs_and_writes_nothing(ablate, capsys, tmp_path):
    assert ablate('--dry-run', '--jobs', '2') == 0
    assert capsys.readouterr().out == (
        'base, seed 3: new\nhard, seed 3: to be tested\n'
        "1 trainings left of 0.50 hours (the plan's estimate): 0.5 hours, 0.2 with 2 at a time\n"
    )
    assert not (tmp_path / 'work').exists()


def test_wrong_arguments_are_usage_errors(ablate, capsys):
    with pytest.raises(SystemExit):
        ablate('--launcher', 'slurm')
    assert '--launcher slurm and --partition need each other' in capsys.readouterr().err


@pytest.mark.slow
def test_a_metric_that_does_not_exist_stops_no_run(ablate, project, tmp_path, capsys):
    plan = project / 'plan.yml'
    plan.write_text(plan.read_text().replace('seeds:', 'metrics: [t2v/R1, t2v/R2]\nseeds:'))
    assert ablate() == 1
    out = capsys.readouterr().out
    assert 'hard, seed 3: its test has no t2v/R2, only' in out
    assert '- 2 of 2 runs' in out


@pytest.mark.slow
def test_a_run_is_the_training_and_test_by_hand(ablate, project, run_tool, tmp_path, capsys):
    assert ablate() == 0
    assert '| base | t2v/R1 |' in capsys.readouterr().out
    hand = tmp_path / 'hand'
    config = project / 'config.py'
    code, output = run_tool('train.py', config, '--work-dir', hand, '--seed', 3)
    assert code == 0, output[-2000:]
    code, output = run_tool('test.py', config, hand / 'epoch_2.pth', '--work-dir', hand / 'test')
    assert code == 0, output[-2000:]
    (folder,) = tmp_path.glob('work/base_seed3_*/')
    ours, theirs = read_test_metrics(folder), read_test_metrics(hand)
    times = ('time', 'data_time')
    assert [ours.pop(name) for name in times] and [theirs.pop(name) for name in times]
    assert ours == theirs
    with (tmp_path / 'work/results.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [row['status'] for row in rows] == ['done', 'done']
    assert float(rows[0]['test t2v/R1']) == theirs['t2v/R1']
    assert {'results.md', 'curves.png', 'results.png'} <= {p.name for p in folder.parent.iterdir()}

    assert ablate('--dry-run') == 0
    assert 'base, seed 3: done\nhard, seed 3: done\nnothing left' in capsys.readouterr().out
