"""Runs with stand-ins for tools/train.py and tools/test.py, which note how they were started."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ts2net_mm.ablation import Launcher, RunState, run_all
from ts2net_mm.ablation import state as run_state
from ts2net_mm.utils.workers import available_cpus

TRAIN = """
import json, os, signal, sys, time
from pathlib import Path
config, work_dir = Path(sys.argv[1]), Path(sys.argv[3])
assert sys.argv[2] == '--work-dir' and sys.argv[4] == '--seed'
log = work_dir.parent.parent / 'log.txt'
def note(word):
    with log.open('a') as file:
        print(word, work_dir.name.rsplit('_', 1)[0], *sys.argv[5:], time.monotonic(), file=file)
def end(*_):
    (work_dir / 'iter_3.pth').write_text('weights')
    note('stopped')
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
note('train')
(work_dir / 'threads').write_text(os.environ.get('OMP_NUM_THREADS', ''))
(work_dir / 'gpu').write_text(os.environ.get('CUDA_VISIBLE_DEVICES', ''))
if (log.parent / 'fail').exists() and 'no-shift' in work_dir.name:
    print('error: no such file')
    sys.exit(1)
while (log.parent / 'wait').exists():
    time.sleep(0.02)
together = log.parent / 'together'
while together.exists() and log.read_text().count('train ') < int(together.read_text()):
    time.sleep(0.02)
(work_dir / 'epoch_2.pth').write_text('weights')
(work_dir / 'last_checkpoint').write_text('/elsewhere/epoch_2.pth')
note('trained')
"""
TEST = """
import json, sys
from pathlib import Path
config, checkpoint, work_dir = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[4])
assert config.is_file() and checkpoint.is_file()
with (work_dir.parent.parent.parent / 'log.txt').open('a') as file:
    print('test', work_dir.parent.name.rsplit('_', 1)[0], checkpoint.parent.name, file=file)
folder = work_dir / '20260101_000000'
folder.mkdir(parents=True)
(folder / 'result.json').write_text(json.dumps({'t2v/R1': 50.0, 'v2t/R1': 40.0}))
"""


@pytest.fixture
def launcher(tmp_path) -> Launcher:
    tools = tmp_path / 'tools'
    tools.mkdir()
    (tools / 'train.py').write_text(TRAIN)
    (tools / 'test.py').write_text(TEST)
    return Launcher(tools, jobs=2)


def log_of(tmp_path: Path) -> list[list[str]]:
    return [line.split() for line in (tmp_path / 'log.txt').read_text().splitlines()]


def test_all_runs_are_trained_and_tested_once(runs, launcher, tmp_path):
    ended = []
    run_all(runs[:6], launcher, on_end=lambda run, state: ended.append((str(run), state.metrics)))
    assert sorted(ended) == sorted((str(run), {'t2v/R1': 50.0, 'v2t/R1': 40.0}) for run in runs[:6])
    steps = log_of(tmp_path)
    assert [step[0] for step in steps].count('train') == 4
    tests = {step[1]: step[2] for step in steps if step[0] == 'test'}
    assert tests['shuffled_seed1'] == tests['ts2net_seed1'] == runs[3].folder.name
    assert {(run.folder / 'threads').read_text() for run in runs[:2]} == {
        os.environ.get('OMP_NUM_THREADS', str(max(1, available_cpus() // 2)))
    }
    run_all(runs[:6], launcher)
    assert log_of(tmp_path) == steps


def test_as_many_at_a_time_as_asked_for(runs, launcher, tmp_path, monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '3,5,6')
    trainings = [run for run in runs if run.source is None]
    for jobs, some in ((1, trainings[:2]), (3, trainings[2:])):
        (tmp_path / 'log.txt').unlink(missing_ok=True)
        (tmp_path / 'together').write_text(str(jobs))
        run_all(some, replace(launcher, jobs=jobs))
        times = [(float(step[-1]), step[0]) for step in log_of(tmp_path) if step[0] != 'test']
        active = most = 0
        for _, word in sorted(times):
            active += 1 if word == 'train' else -1
            most = max(most, active)
        assert most == jobs
        gpus = sorted((run.folder / 'gpu').read_text() for run in some[:jobs])
        assert gpus == ['3', '5', '6'][:jobs]


def test_a_failing_run_does_not_stop_the_others_and_is_tried_again(runs, launcher, tmp_path):
    (tmp_path / 'fail').touch()
    run_all(runs[:6], launcher)
    states = {str(run): RunState.from_folder(run) for run in runs[:6]}
    failed = {name: state.failure for name, state in states.items() if not state.is_done}
    assert failed == dict.fromkeys(['no-shift, seed 0', 'no-shift, seed 1'], 'no such file')
    (tmp_path / 'fail').unlink()
    run_all(runs[:6], launcher)
    assert all(RunState.from_folder(run).is_done for run in runs[:6])
    assert not any(RunState.from_folder(run).failure for run in runs[:6])


def test_the_reason_of_a_failure_is_of_this_attempt(runs, launcher, tmp_path):
    (tmp_path / 'fail').touch()
    tool = launcher.tools / 'train.py'
    for line, reason in (
        (
            "print('[rank0]: torch.OutOfMemoryError: CUDA out of memory')",
            'torch.OutOfMemoryError: ',
        ),
        (
            "print('json.decoder.JSONDecodeError: Expecting value')",
            'json.decoder.JSONDecodeError: ',
        ),
        ("print('epoch 1')", 'exit code 1'),
    ):
        tool.write_text(TRAIN.replace("print('error: no such file')", line))
        run_all(runs[1:2], launcher)
        assert RunState.from_folder(runs[1]).failure.startswith(reason)


def test_the_best_checkpoint_is_the_newest(runs, tmp_path):
    best = replace(runs[0], checkpoint='best')
    best.folder.mkdir(parents=True)
    for number, name in enumerate(('best_b.pth', 'best_c.pth', 'best_a.pth')):
        (best.folder / name).touch()
        os.utime(best.folder / name, (number, number))
    assert run_state.tested_checkpoint(best).name == 'best_a.pth'


@pytest.mark.parametrize(
    ('tool', 'line', 'failure'),
    [
        ('train.py', "(work_dir / 'epoch_2.pth').write_text('weights')", 'has no last checkpoint'),
        ('test.py', "(folder / 'result.json').write_text", 'holds no results of a test'),
    ],
)
def test_a_step_that_leaves_nothing_is_a_failure(runs, launcher, tool, line, failure):
    path = launcher.tools / tool
    path.write_text(path.read_text().replace(line, 'str'))
    run_all(runs[:2], launcher)
    for run in runs[:2]:
        assert failure in RunState.from_folder(run).failure


def test_a_test_of_weights_that_do_not_exist_fails(runs, launcher, tmp_path):
    (tmp_path / 'fail').touch()
    test_of_failed = replace(runs[2], source=runs[1])
    run_all([runs[1], test_of_failed], launcher)
    assert RunState.from_folder(test_of_failed).failure == 'no-shift, seed 0 has no weights'


def test_an_interruption_ends_the_trainings_and_the_next_call_resumes(runs, launcher, tmp_path):
    (tmp_path / 'wait').touch()
    begun = []

    def interrupt(run, state):
        begun.append(run)
        if len(begun) == 2:
            while len(log_of(tmp_path) if (tmp_path / 'log.txt').exists() else ()) < 1:
                time.sleep(0.02)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all(runs[:2], launcher, on_start=interrupt)
    words = [step[0] for step in log_of(tmp_path)]
    assert words == ['train', 'stopped']
    assert RunState.from_folder(runs[0]).seconds > 0
    (tmp_path / 'wait').unlink()
    run_all(runs[:2], launcher)
    again = [step for step in log_of(tmp_path)[2:] if step[0] == 'train']
    assert sorted(step[1:-1] for step in again) == [
        ['no-shift_seed0', '0'],
        ['ts2net_seed0', '0', '--resume'],
    ]
    assert RunState.from_folder(runs[0]).seconds > 0
    assert all(RunState.from_folder(run).is_done for run in runs[:2])


def test_slurm_uses_its_own_scripts(runs, launcher):
    slurm = replace(launcher, partition='gpu')
    state = RunState(runs[0].digest)
    command = slurm.command(runs[0], state)
    assert command[:4] == [
        'bash',
        str(launcher.tools / 'slurm_train.sh'),
        'gpu',
        runs[0].folder.name,
    ]
    assert command[4:] == [
        str(runs[0].config),
        '--work-dir',
        str(runs[0].folder),
        '--seed',
        '0',
    ]
    assert slurm.environment(1).get('OMP_NUM_THREADS') == os.environ.get('OMP_NUM_THREADS')


def test_runs_share_the_gpus(launcher, monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '4,6')
    found = [replace(launcher, jobs=3).environment(slot) for slot in range(3)]
    assert [variables['CUDA_VISIBLE_DEVICES'] for variables in found] == ['4', '6', '4']


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"digest": ', r'run\.json: damaged'),
        (json.dumps(dict(digest='another')), r'is of another config or seed'),
    ],
)
def test_a_damaged_state_is_an_error(runs, content, message):
    runs[0].folder.mkdir(parents=True)
    (runs[0].folder / 'run.json').write_text(content)
    with pytest.raises(ValueError, match=message):
        RunState.from_folder(runs[0])
