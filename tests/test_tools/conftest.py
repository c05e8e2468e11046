"""The modules of the benchmarks, and projects as a new user has them."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import CONFIG, ROOT, make_project, model_config, write_noise

FOLDER = ROOT / 'tools/benchmarks'
MODULES = (
    'measuring',
    'report',
    'selection',
    'similarity',
    'sequence_first',
    'train_step',
    'cached_batch',
    'optimizer',
    'fp16_arithmetic',
    'run',
    'processes',
    'as_released',
    'step_profile',
    'precision',
    'pipeline',
    'gpu',
    'lab',
    'scaling',
    'complexity',
    'multi_caption_evaluation',
    'data_preparation',
    'resize_fidelity',
    'frame_store',
    'onnx_export',
)


@pytest.fixture
def load(monkeypatch):
    """Import a module of the benchmarks as the script does."""
    monkeypatch.syspath_prepend(FOLDER)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def tiny_model():
    config = model_config()
    config['backbone']['frozen_stages'] = 0
    return config


@pytest.fixture(scope='session')
def project(tmp_path_factory) -> Path:
    """A folder with a config, five videos and their annotation."""
    return make_project(tmp_path_factory.mktemp('project'), num_videos=5)


@pytest.fixture(scope='session')
def folder(tmp_path_factory):
    """A config, weights, and a folder of eight videos, of which the last is longer."""
    import torch

    from ts2net_mm.apis.inferencer import build_model, load_config

    folder = make_project(tmp_path_factory.mktemp('encode'), num_videos=8)
    write_noise(folder / '7.mp4', num_frames=120, seed=7)
    torch.manual_seed(0)
    model = build_model(load_config(folder / 'config.py'))
    state = {key: 0.2 * torch.randn(value.shape) for key, value in model.state_dict().items()}
    state |= {k: v for k, v in model.state_dict().items() if not v.is_floating_point()}
    torch.save(dict(state_dict=state, meta=dict()), folder / 'model.pth')
    (folder / 'videos').mkdir()
    for path in folder.glob('*.mp4'):
        path.rename(folder / 'videos' / path.name)
    return folder


@pytest.fixture(scope='session')
def index(folder, tmp_path_factory):
    """An index of these videos, cut into windows."""
    index = tmp_path_factory.mktemp('index') / 'index'
    files = [folder / 'config.py', folder / 'model.pth', folder / 'videos']
    command = [ROOT / 'tools/encode.py', *files, '--index', index, '--window', '3']
    subprocess.run([sys.executable, *map(str, command)], check=True)
    return index


@pytest.fixture(scope='session')
def run_tool(start_script, tmp_path_factory) -> Callable[..., tuple[int, str]]:
    """Function that runs a file of tools/ in a process; returns its exit code and output."""
    log = tmp_path_factory.mktemp('tools') / 'log.txt'

    def run(name: str, *arguments: object) -> tuple[int, str]:
        log.write_text('')
        process = start_script(ROOT / 'tools' / name, *arguments, log=log, environment={})
        process.join(900)
        return process.exitcode, log.read_text()

    return run


# Longer, with everything that is random: captions, frames, selection noise. The hook writes the
# losses down and gives a test time to kill.
LONG_CONFIG = (
    CONFIG
    + """
custom_imports = dict(imports=['ts2net_mm', 'recorder'])
custom_hooks = [dict(type='Recorder'), dict(type='FiniteLossHook'),
                dict(type='LogitScaleClampHook'), dict(type='StrictCheckpointHook')]
train_dataloader = val_dataloader = dict(loader, num_workers=1, persistent_workers=True)
train_cfg = dict(type='ResumableTrainLoop', max_epochs=3, val_interval=1)
optim_wrapper = dict(
    _delete_=True, type='OptimWrapper', constructor='CLIPOptimWrapperConstructor',
    optimizer=dict(type='BertAdam', lr=1e-3), clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(clip_lr_mult=0.1, fp16_arithmetic=True))
param_scheduler = dict(_delete_=True, type='WarmupCosineLR', by_epoch=False)
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=4, max_keep_ckpts=2,
                    save_best='t2v/MnR', rule='less'))
"""
)
RECORDER = """
import os, time
from mmaction.registry import HOOKS
from mmengine.hooks import Hook

@HOOKS.register_module()
class Recorder(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        with open(os.path.join(runner.work_dir, f'losses_{runner.rank}.txt'), 'a') as file:
            print(runner.iter + 1, outputs['loss'].item().hex(), file=file)
        time.sleep(float(os.environ.get('PAUSE', 0)))

    def before_val_epoch(self, runner):
        print('validating', flush=True)

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        time.sleep(float(os.environ.get('PAUSE', 0)))
"""


@pytest.fixture(scope='session')
def long_project(tmp_path_factory) -> Path:
    """A folder as `project` is, with twenty videos and a hook that records every loss."""
    folder = tmp_path_factory.mktemp('long_project')
    (folder / 'recorder.py').write_text(RECORDER)
    return make_project(folder, num_videos=20, config=LONG_CONFIG)
