"""The scripts that start several processes, as a user runs them from any folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'
SCRIPTS = ('dist_train', 'dist_test', 'slurm_train', 'slurm_test')

# Starts --ntasks processes of the command, each with the variables that Slurm sets.
SRUN = """#!/usr/bin/env bash
printf '%s\\n' "$@" >"$SRUN_RECORD"
for argument in "$@"; do
    [[ $argument != --ntasks=* ]] || tasks=${argument#*=}
done
while [[ $1 != python ]]; do shift; done
export SLURM_NTASKS=$tasks SLURM_NODELIST=node0
for ((task = tasks - 1; task > 0; task--)); do
    SLURM_PROCID=$task SLURM_LOCALID=$task "$@" &
done
SLURM_PROCID=0 SLURM_LOCALID=0 "$@" && wait
"""
SCONTROL = """#!/usr/bin/env bash
[[ $* == 'show hostnames node0' ]] && echo 127.0.0.1
"""


def run(script: str, *arguments: object, cwd: Path, **environment: str):
    command = ['bash', str(TOOLS / f'{script}.sh'), *map(str, arguments)]
    paths = [environment.pop('BIN', ''), str(Path(sys.executable).parent), '/usr/bin', '/bin']
    environment = dict(environment, PATH=os.pathsep.join(filter(None, paths)))
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


def table_of(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith(('| ', 'reversal'))]


@pytest.fixture
def slurm(tmp_path) -> dict[str, str]:
    """Environment variables with a stand-in for Slurm."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    for name, content in dict(srun=SRUN, scontrol=SCONTROL).items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o755)
    return dict(BIN=str(folder), SRUN_RECORD=str(tmp_path / 'srun.txt'))


@pytest.mark.slow
def test_train_and_test_under_torchrun(project, tmp_path):
    config = project / 'config.py'
    options = ('--work-dir', 'work', '--cfg-options', 'train_cfg.max_epochs=1')
    trained = run('dist_train', config, 2, *options, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr[-2000:]
    checkpoint = tmp_path / 'work' / 'epoch_1.pth'
    assert checkpoint.is_file()

    tested = run(
        'dist_test', config, checkpoint, 2, '--work-dir', 'work', cwd=tmp_path, PORT='29617'
    )
    assert tested.returncode == 0, tested.stderr[-2000:]
    assert len(table_of(tested.stdout)) == 6


@pytest.mark.slow
def test_training_under_slurm(project, slurm, tmp_path):
    settings = dict(slurm, GPUS='2', GPUS_PER_NODE='4')
    arguments = ('--work-dir', tmp_path / 'work', '--cfg-options', 'train_cfg.max_epochs=1')
    trained = run(
        'slurm_train', 'gpu', 'learn', project / 'config.py', *arguments, cwd=tmp_path, **settings
    )
    assert trained.returncode == 0, trained.stderr[-2000:]
    assert (tmp_path / 'work' / 'epoch_1.pth').is_file()
    assert 'Distributed launcher: slurm' in trained.stdout + trained.stderr


def test_arguments_of_srun(slurm, tmp_path):
    (Path(slurm['BIN']) / 'python').symlink_to('/bin/echo')
    common = dict(slurm, GPUS='2', cwd=tmp_path)
    first = run('slurm_train', 'gpu', 'learn', 'my config.py', '--resume', **common)
    command = f'-u {TOOLS}/train.py my config.py --resume --launcher slurm'
    assert first.stdout.splitlines() == [command, command]
    arguments = Path(slurm['SRUN_RECORD']).read_text().splitlines()
    expected = ['-p', 'gpu', '--job-name=learn', '--ntasks=2', '--ntasks-per-node=8']
    assert arguments[: len(expected)] == expected
    assert {'--cpus-per-task=5', '--kill-on-bad-exit=1', '--gres=gpu:8', 'my config.py'} <= set(
        arguments
    )

    settings = dict(GRES='', GPUS_PER_NODE='1', CPUS_PER_TASK='3', SRUN_ARGS='--mem=4G --exclusive')
    second = run('slurm_test', 'cpu', 'look', 'config.py', 'weights.pth', **common, **settings)
    assert second.stdout.splitlines()[0] == (
        f'-u {TOOLS}/test.py config.py weights.pth --launcher slurm'
    )
    arguments = Path(slurm['SRUN_RECORD']).read_text().splitlines()
    assert {'--ntasks-per-node=1', '--cpus-per-task=3', '--mem=4G', '--exclusive'} <= set(arguments)
    assert not any(argument.startswith('--gres') for argument in arguments)


@pytest.mark.slow
def test_failing_process_ends_the_run_with_its_error(project, tmp_path):
    """Only process 1 fails, and process 0 waits for it in the first step."""
    (tmp_path / 'failing.py').write_text(
        'from mmaction.registry import HOOKS\n'
        'from mmengine.hooks import Hook\n'
        '@HOOKS.register_module()\n'
        'class Failing(Hook):\n'
        '    def before_train_iter(self, runner, **kwargs):\n'
        "        if runner.rank == 1: raise RuntimeError('the disk of process 1 is gone')\n"
    )
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = {str(project / "config.py")!r}\n'
        "custom_imports = dict(imports=['ts2net_mm', 'failing'])\n"
        "custom_hooks = [dict(type='Failing')]\n"
    )
    failed = run(
        'dist_train', config, 2, '--work-dir', 'work', cwd=tmp_path, PYTHONPATH=str(tmp_path)
    )
    assert failed.returncode != 0
    assert 'the disk of process 1 is gone' in failed.stderr


@pytest.mark.parametrize('script', SCRIPTS)
def test_help(script, tmp_path):
    helped = run(script, '--help', cwd=tmp_path)
    assert helped.returncode == 0
    assert helped.stdout.startswith(f'usage: bash tools/{script}.sh ')


@pytest.mark.parametrize(
    ('script', 'arguments', 'message'),
    [
        ('dist_train', ('config.py',), 'expected at least 2 arguments, found 1'),
        ('dist_test', ('config.py', 2), 'expected at least 3 arguments, found 2'),
        ('slurm_train', ('gpu', 'name'), 'expected at least 3 arguments, found 2'),
        ('slurm_test', ('gpu', 'name', 'config.py'), 'expected at least 4 arguments, found 3'),
        ('dist_train', ('config.py', 'all'), "GPUS must be a positive number, found 'all'"),
    ],
)
def test_wrong_arguments_end_with_one_line(script, arguments, message, tmp_path):
    wrong = run(script, *arguments, cwd=tmp_path)
    assert wrong.returncode == 2
    assert wrong.stderr.splitlines()[-1] == f'error: {message}'
