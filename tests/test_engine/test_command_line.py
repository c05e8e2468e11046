"""The command line of training and testing, and the options that reach a config."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config

from ts2net_mm.engine.command_line import LAUNCHERS, config_from_arguments, merge_options
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


def test_work_dir_of_command_line_or_config(load, config):
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


@pytest.mark.parametrize('option', ['--local_rank=3', '--local-rank=3'])
def test_local_rank(load, config, monkeypatch, option):
    load(config, option)
    assert os.environ['LOCAL_RANK'] == '3'
    monkeypatch.setenv('LOCAL_RANK', '2')  # of a launcher, which takes precedence
    load(config, option)
    assert os.environ['LOCAL_RANK'] == '2'


@pytest.mark.parametrize('name', ['none.py', '.'])
def test_missing_config_ends_with_the_usage(load, tmp_path, capsys, name):
    with pytest.raises(SystemExit) as caught:
        load(tmp_path / name)
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith('usage: train.py')
    assert f'config {tmp_path / name} does not exist' in message


def test_processes_without_accelerator_are_joined_over_gloo(load, config, monkeypatch, tmp_path):
    """With the variables that torchrun sets for a single process."""
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
        ('slurm', {}, r'needs SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID, which srun sets'),
        (
            'slurm',
            dict.fromkeys(LAUNCHERS['slurm'].values(), '0') | dict(PATH=''),
            'scontrol show hostnames .* did not name a machine .*; set MASTER_ADDR',
        ),
    ],
)
def test_launcher_without_its_variables(
    load, config, monkeypatch, capsys, launcher, settings, message
):
    for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT', 'SLURM_PROCID'):
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


def test_misspelt_setting(load, config, capsys):
    config.write_text('train_dataloder = dict()\nmy_own = 1\n')
    load(config)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "'train_dataloder' is not a setting of a run; did you mean 'train_dataloader'?"
    )


def test_variables_of_slurm_are_translated(load, config, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    given = dict(SLURM_PROCID='0', SLURM_NTASKS='1', SLURM_LOCALID='0', SLURM_NODELIST='node[3-4]')
    for name, value in dict(given, PATH=str(tmp_path), MASTER_PORT='0').items():
        monkeypatch.setenv(name, value)
    names = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR')
    for name in names:
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
    assert [os.environ.pop(name) for name in names] == ['0', '1', '0', '127.0.0.1']


LEAVING = """
import atexit, sys, threading, time
from ts2net_mm.engine.command_line import end_process

class Kept:
    def __del__(self):
        print('torn down')

kept = Kept()
atexit.register(print, 'at exit')
threading.Thread(target=lambda: (time.sleep(0.2), print('thread'))).start()
print('work', end=' ')
end_process(3)
"""


def test_process_of_several_exits_before_the_interpreter_is_torn_down():
    """There, threads of a process group may abort it, as happened in one of some hundred runs."""
    done = subprocess.run(
        [sys.executable, '-c', LEAVING],
        env=os.environ | {'WORLD_SIZE': '2'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, 'work thread\nat exit\n'), done.stderr


CONFIGS = Path(__file__).parents[2] / 'configs'
SPLITS = ('train', 'val', 'test')

BASE = """
num_frames, size = 12, 24
pipeline = [dict(type='Sample', num_frames=num_frames), dict(type='Resize', size=size)]
train_pipeline = test_pipeline = pipeline
def unused():
    num_frames = 1
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=4, dataset=dict(pipeline=test_pipeline))
"""
CHILD = """
_base_ = './base.py'
positions = _base_.num_frames * 4
model = dict(num_positions=positions)
batch_size = 2
"""
PURE = """
from mmengine.config import read_base
from mmengine.dataset import DefaultSampler
with read_base():
    from .pure_base import *
model = dict(num_positions=num_frames * 4)
train_dataloader.update(sampler=dict(type=DefaultSampler))
"""


@pytest.fixture
def configs(tmp_path) -> Path:
    """Small configs with base files, in both of MMEngine's syntaxes."""
    for name, text in dict(base=BASE, child=CHILD, pure_base=BASE, pure=PURE).items():
        (tmp_path / f'{name}.py').write_text(text)
    return tmp_path


def merge(path: Path, **options) -> Config:
    return merge_options(
        Config.fromfile(path), {key.replace('__', '.'): value for key, value in options.items()}
    )


def steps(cfg: Config, step: int, key: str, splits=SPLITS) -> list:
    return [cfg[f'{split}_dataloader'].dataset.pipeline[step].get(key) for split in splits]


@pytest.mark.parametrize('name', ['ts2net_msrvtt', 'ts2net_activitynet', 'features/amp_bf16'])
def test_variables_of_our_configs(name):
    cfg = merge(CONFIGS / f'{name}.py', num_frames=5, max_words=7, video_pipeline__3__size=336)
    assert steps(cfg, 1, 'num_frames') == [5, 5, 5]
    assert steps(cfg, 5, 'max_words') == [7, 7, 7]
    assert steps(cfg, 3, 'size') == [336, 336, 336]
    assert cfg.filename == str(CONFIGS / f'{name}.py')


def test_computed_numbers_follow():
    cfg = merge(CONFIGS / 'ts2net_moving-shapes.py', num_frames=5, width=32, topk=2)
    assert cfg.model.head.temporal.num_positions == 5 * (1 + 2)
    assert (cfg.model.backbone.embed_dims, cfg.model.neck.topk) == (32, 2)


@pytest.mark.parametrize('name', ['child', 'pure'])
def test_inherited_variables(configs, name):
    cfg = merge(configs / f'{name}.py', num_frames=3)
    assert cfg.model.num_positions == 12
    assert steps(cfg, 0, 'num_frames', SPLITS[:2]) == [3, 3]


@pytest.mark.parametrize('name', ['child', 'pure'])
def test_part_of_a_variable_changes_no_other_variable(configs, name):
    cfg = merge(configs / f'{name}.py', train_pipeline__1__size=9, train_pipeline__1__mode='area')
    assert steps(cfg, 1, 'size', SPLITS[:2]) == [9, 24]
    assert steps(cfg, 1, 'mode', SPLITS[:2]) == ['area', None]


def test_settings_of_the_run_are_merged_as_in_mmengine(configs):
    options = dict(train_dataloader__batch_size=3, work_dir='here', compile__backend='inductor')
    cfg = merge(configs / 'child.py', **options)
    assert [cfg[f'{split}_dataloader'].batch_size for split in SPLITS[:2]] == [3, 4]
    assert (cfg.work_dir, cfg.compile) == ('here', dict(backend='inductor'))


def test_setting_of_the_run_takes_precedence_over_a_variable(configs):
    options = dict(train_dataloader__dataset__pipeline__0__num_frames=2, num_frames=3)
    assert steps(merge(configs / 'child.py', **options), 0, 'num_frames', SPLITS[:2]) == [2, 3]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            dict(batch_size=3),
            'batch_size has no effect in .*child.py; did you mean '
            r'train_dataloader.batch_size, val_dataloader.batch_size\?$',
        ),
        (dict(num_frame=3), "child.py has no 'num_frame', did you mean 'num_frames'\\?"),
        (dict(pipeline__2__size=3), "child.py has no 'pipeline.2.size'"),
        (dict(pipeline__size=3), "child.py has no 'pipeline.size'"),
        (dict(pipeline=3, num_frames=None), r'cannot be read with .*num_frames=None: .*NoneType'),
    ],
)
def test_options_without_effect(configs, options, message):
    with pytest.raises(ValueError, match=message):
        merge(configs / 'child.py', **options)


def test_present_value_is_accepted(configs):
    """For example in a loop over numbers of frames."""
    cfg = merge(configs / 'child.py', num_frames=12, pipeline__1__size=24, batch_size=2)
    assert cfg.to_dict() == Config.fromfile(configs / 'child.py').to_dict()


def test_json_config_has_no_variables(tmp_path):
    path = tmp_path / 'config.json'
    path.write_text('{"lr": 1, "optim_wrapper": {"optimizer": {"lr": 1}}}')
    with pytest.raises(ValueError, match=r'lr has no effect .* mean optim_wrapper\.optimizer\.lr'):
        merge(path, lr=2)
    assert merge(path, optim_wrapper__optimizer__lr=2).optim_wrapper.optimizer.lr == 2
