"""The modules of the benchmarks, and projects as a new user has them."""

import importlib
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).resolve().parents[2] / 'tools/benchmarks'
MODULES = (
    'measuring',
    'report',
    'selection',
    'similarity',
    'sequence_first',
    'train_step',
    'optimizer',
    'fp16_arithmetic',
    'core',
    'complexity',
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
    return dict(
        type='TS2Net',
        backbone=dict(
            type='TokenShiftViT',
            embed_dims=32,
            num_layers=3,
            num_heads=2,
            img_size=32,
            patch_size=8,
            out_dims=16,
            shift_layers=(1, 2),
            num_shift_tokens=4,
            frozen_stages=0,
        ),
        text_encoder=dict(
            type='CLIPTextEncoder', vocab_size=50, width=32, num_layers=2, num_heads=2, out_dims=16
        ),
        neck=dict(type='TokenSelection', embed_dims=16, topk=3, num_samples=20),
        head=dict(
            type='RetrievalHead',
            temporal=dict(type='TemporalTransformer', embed_dims=16, num_layers=2, num_heads=2),
        ),
    )


CONFIG = f"""
_base_ = {str(ROOT / 'configs' / 'ts2net_moving-shapes.py')!r}

data_root = 'DATA_ROOT'
batch_size = 2
model = dict(
    backbone=dict(embed_dims=16, num_layers=2, num_heads=2, out_dims=16, shift_layers=(0, 1)),
    text_encoder=dict(width=16, num_layers=1, num_heads=2, out_dims=16),
    neck=dict(embed_dims=16, num_samples=10),
    head=dict(temporal=dict(embed_dims=16, num_layers=1, num_heads=2)),
)
loader = dict(batch_size=2, num_workers=0, persistent_workers=False,
              dataset=dict(data_root=data_root, ann_file='all.json'))
train_dataloader = loader
val_dataloader = loader
test_dataloader = loader
train_cfg = dict(max_epochs=2, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=1))
param_scheduler = [dict(type='ConstantLR', factor=0.5)]
"""


def make_project(folder: Path, *, num_videos: int, config: str = CONFIG) -> Path:
    """Write a config, videos of noise and their annotation."""
    annotations = {}
    rng = np.random.default_rng(0)
    for number in range(num_videos):
        name = f'{number}.mp4'
        writer = cv2.VideoWriter(str(folder / name), cv2.VideoWriter_fourcc(*'mp4v'), 10, (64, 48))
        for _ in range(12):
            writer.write(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))
        writer.release()
        annotations[name] = dict(
            captions=[f'clip number {number}', f'a clip called {number}'], meaning=name
        )
    annotations['0.mp4']['reversal'] = '1.mp4'
    (folder / 'all.json').write_text(json.dumps(annotations))
    (folder / 'config.py').write_text(config.replace('DATA_ROOT', str(folder)))
    return folder


@pytest.fixture(scope='session')
def project(tmp_path_factory) -> Path:
    """A folder with a config, five videos and their annotation."""
    return make_project(tmp_path_factory.mktemp('project'), num_videos=5)


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
