import argparse
import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from ts2net_mm.checkpoints import check_state_dict
from ts2net_mm.engine.command_line import (
    add_config_arguments,
    config_from_arguments,
    is_expected,
)


@pytest.fixture
def config(tmp_path) -> Path:
    path = tmp_path / 'little.py'
    path.write_text("model = dict(neck=dict(topk=3), sizes=[1, 2])\nbase = 'x'\n")
    return path


@pytest.fixture
def load(monkeypatch):
    """Function that reads a command line."""
    monkeypatch.setenv('LOCAL_RANK', 'removed below')
    monkeypatch.delenv('LOCAL_RANK')

    def load(*arguments):
        parser = argparse.ArgumentParser(prog='train.py')
        add_config_arguments(parser)
        return config_from_arguments(
            parser, parser.parse_args([str(argument) for argument in arguments])
        )

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
    cfg = load(config, '--launcher', 'pytorch')
    assert not dist.is_initialized()
    assert 'model_wrapper_cfg' not in cfg


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
    assert '--launcher slurm needs SLURM_PROCID, which srun sets' in capsys.readouterr().err


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


@pytest.mark.parametrize(
    ('raise_it', 'expected'),
    [
        (lambda: Path('no/file').read_text(), True),
        (lambda: check_state_dict({}, {'key': torch.zeros(1)}), True),  # a check of this package
        (lambda: torch.zeros(2).view(3), False),
        (lambda: int('one'), False),  # a ValueError of something else
    ],
)
def test_errors_that_need_no_traceback(raise_it, expected):
    with pytest.raises((OSError, ValueError, RuntimeError)) as caught:
        raise_it()
    assert is_expected(caught.value) == expected
