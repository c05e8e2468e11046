import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from ts2net_mm.engine.command_line import LAUNCHERS, config_from_arguments
from ts2net_mm.utils.cli import add_config_arguments, parse_config_arguments


@pytest.fixture
def config(tmp_path) -> Path:
    path = tmp_path / 'little.py'
    path.write_text("model = dict(neck=dict(topk=3), sizes=[1, 2])\nbase = 'x'\n")
    return path


@pytest.fixture
def load(monkeypatch):
    """Function that reads a command line as tools/train.py does."""
    monkeypatch.setenv('LOCAL_RANK', 'removed below')
    monkeypatch.delenv('LOCAL_RANK')

    def load(*arguments):
        parser = argparse.ArgumentParser(prog='train.py')
        add_config_arguments(parser)
        monkeypatch.setattr('sys.argv', ['train.py', *map(str, arguments)])
        return config_from_arguments(parser, parse_config_arguments(parser))

    yield load
    os.environ.pop('LOCAL_RANK', None)


def test_plain_config(load, config):
    cfg = load(config)
    assert cfg.model == dict(neck=dict(topk=3), sizes=[1, 2])
    assert cfg.launcher == 'none'
    assert cfg.work_dir == os.path.join('work_dirs', 'little')
    assert os.environ['LOCAL_RANK'] == '0'


def test_work_dir_of_command_line_then_of_config_then_default(load, config):
    config.write_text("work_dir = 'from_config'\n")
    assert load(config).work_dir == 'from_config'
    assert load(config, '--work-dir', 'given').work_dir == 'given'
    assert load(config, '--cfg-options', 'work_dir=option').work_dir == 'option'


def test_cfg_options_replace_and_add(load, config):
    cfg = load(
        config, '--cfg-options', 'model.neck.topk=5', 'model.sizes=[7,8]', 'new.deep.key=a,b'
    )
    assert cfg.model == dict(neck=dict(topk=5), sizes=[7, 8])
    assert cfg.new.deep.key == ['a', 'b']
    assert cfg.base == 'x'


@pytest.mark.parametrize('spelling', ['--local_rank', '--local-rank'])
def test_local_rank_in_both_spellings(load, config, spelling):
    load(config, f'{spelling}=3')
    assert os.environ['LOCAL_RANK'] == '3'


def test_local_rank_of_the_environment_wins(load, config, monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '2')
    load(config)
    assert os.environ['LOCAL_RANK'] == '2'


@pytest.mark.parametrize('name', ['none.py', '.'])
def test_missing_config_ends_with_the_usage(load, tmp_path, capsys, name):
    with pytest.raises(SystemExit) as caught:
        load(tmp_path / name)
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith('usage: train.py')
    assert f'config {tmp_path / name} does not exist' in message


def test_unknown_launcher(load, config, capsys):
    with pytest.raises(SystemExit):
        load(config, '--launcher', 'kubernetes')
    assert "invalid choice: 'kubernetes'" in capsys.readouterr().err


def test_processes_without_accelerator_are_joined_over_gloo(load, config, monkeypatch, tmp_path):
    """What torchrun sets for one process of one."""
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    settings = dict(RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1', MASTER_PORT='0')
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    try:
        cfg = load(config, '--launcher', 'pytorch')
        assert dist.get_backend() == 'gloo'
        again = load(config, '--launcher', 'pytorch')
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    wrapper = dict(type='MMDistributedDataParallel', device_ids=None)
    assert cfg.model_wrapper_cfg == again.model_wrapper_cfg == wrapper
    assert cfg.launcher == 'pytorch'


def test_processes_with_accelerator_are_left_to_mmengine(load, config, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.setenv(name, '0')
    cfg = load(config, '--launcher', 'pytorch')
    assert not dist.is_initialized()
    assert 'model_wrapper_cfg' not in cfg


@pytest.mark.parametrize(
    ('launcher', 'settings', 'message'),
    [
        ('pytorch', {}, 'needs RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT, which torchrun sets'),
        ('mpi', {}, r'needs OMPI_COMM_WORLD_RANK, .*, which Open MPI.s mpirun sets'),
        ('mpi', dict.fromkeys(LAUNCHERS['mpi'].values(), '0'), 'mpi needs MASTER_ADDR'),
    ],
)
def test_launcher_without_its_variables(
    load, config, monkeypatch, capsys, launcher, settings, message
):
    for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.setenv(name, 'removed below')
        monkeypatch.delenv(name)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as caught:
        load(config, '--launcher', launcher)
    assert caught.value.code == 2
    assert re.search(message, capsys.readouterr().err)
    for name in ('RANK', 'WORLD_SIZE', 'MASTER_PORT'):
        os.environ.pop(name, None)


def test_a_misspelt_setting_is_named(load, config, capsys):
    config.write_text('train_dataloder = dict()\nmy_own = 1\n')
    load(config)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "'train_dataloder' is not a setting of a run; did you mean 'train_dataloader'?"
    )


def test_what_slurm_says_is_passed_on(load, config, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    given = dict(SLURM_PROCID='0', SLURM_NTASKS='1', SLURM_LOCALID='0', SLURM_NODELIST='node[3-4]')
    for name, value in dict(given, PATH=str(tmp_path), MASTER_PORT='0').items():
        monkeypatch.setenv(name, value)
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR'):
        monkeypatch.setenv(name, 'removed below')
        monkeypatch.delenv(name)
    scontrol = tmp_path / 'scontrol'
    scontrol.write_text(
        '#!/bin/sh\n[ "$*" = "show hostnames node[3-4]" ] && echo 127.0.0.1 node4\n'
    )
    scontrol.chmod(0o755)
    try:
        load(config, '--launcher', 'slurm')
        assert dist.get_backend() == 'gloo'
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    names = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR')
    assert [os.environ.pop(name) for name in names] == ['0', '1', '0', '127.0.0.1']


def test_slurm_without_srun(load, config, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.delenv('SLURM_PROCID', raising=False)
    with pytest.raises(SystemExit):
        load(config, '--launcher', 'slurm')
    assert 'needs SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID, which srun' in capsys.readouterr().err


def test_slurm_without_scontrol(load, config, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    for name in ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID', 'RANK', 'WORLD_SIZE'):
        monkeypatch.setenv(name, '0')
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.delenv('MASTER_ADDR', raising=False)
    with pytest.raises(SystemExit):
        load(config, '--launcher', 'slurm')
    message = capsys.readouterr().err
    assert 'scontrol show hostnames' in message
    assert 'set MASTER_ADDR' in message


LEAVING = """
import atexit, sys, threading, time
from ts2net_mm.engine.command_line import end_process

class Kept:
    def __del__(self):
        print('taken down')

kept = Kept()
atexit.register(print, 'at exit')
threading.Thread(target=lambda: (time.sleep(0.2), print('thread'))).start()
print('work', end=' ')
end_process(3)
"""


@pytest.mark.parametrize(
    ('variables', 'output'),
    [({}, 'work thread\nat exit\ntaken down\n'), ({'WORLD_SIZE': '2'}, 'work thread\nat exit\n')],
)
def test_a_process_of_several_ends_before_its_parts_are_taken_down(variables, output):
    """Threads of a process group could abort it there, as one run in some hundreds did."""
    environment = {key: value for key, value in os.environ.items() if key != 'WORLD_SIZE'}
    done = subprocess.run(
        [sys.executable, '-c', LEAVING],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, output), done.stderr
