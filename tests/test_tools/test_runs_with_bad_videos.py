"""Whole runs over videos of which some are damaged, hang or crash the decoder."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
CONFIG = f"""
_base_ = {str(ROOT / 'configs' / 'ts2net_moving-shapes.py')!r}
data_root = 'DATA_ROOT'
model = dict(
    backbone=dict(embed_dims=16, num_layers=2, num_heads=2, out_dims=16, shift_layers=(0, 1)),
    text_encoder=dict(width=16, num_layers=1, num_heads=2, out_dims=16),
    neck=dict(embed_dims=16, num_samples=10),
    head=dict(temporal=dict(embed_dims=16, num_layers=1, num_heads=2)),
)
pipeline = [
    dict(type='GuardedDecordInit', timeout=3),
    dict(type='SampleFramesByRate', num_frames=6),
    *_base_.decode_and_pack,
]
loader = dict(
    batch_size=2, num_workers=1, persistent_workers=True,
    dataset=dict(data_root=data_root, ann_file='all.json', pipeline=pipeline),
)
train_dataloader = loader
val_dataloader = dict(loader, dataset=dict(loader['dataset'], on_bad_video='skip'))
test_dataloader = loader
train_cfg = dict(max_epochs=2, val_interval=10)
default_hooks = dict(checkpoint=dict(interval=1))
param_scheduler = [dict(type='ConstantLR', factor=0.5)]
test_evaluator = dict(hard_negative=None)
"""
TOLERANT = """
_base_ = './config.py'
custom_hooks = [
    dict(hook, max_share=0.5) if hook['type'] == 'BadVideosHook' else hook
    for hook in _base_.custom_hooks
]
"""


@pytest.fixture(scope='module')
def project(tmp_path_factory) -> Path:
    """A folder with a config and twelve videos: one cut off, one empty, one that never answers."""
    folder = tmp_path_factory.mktemp('project')
    annotations = {}
    rng = np.random.default_rng(0)
    for number in range(12):
        name = f'{number}.avi'
        writer = cv2.VideoWriter(str(folder / name), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 64))
        for _ in range(12):
            writer.write(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
        writer.release()
        annotations[name] = dict(
            captions=[f'clip number {number}', f'a clip called {number}'], meaning=name
        )
    (folder / 'all.json').write_text(json.dumps(annotations))
    (folder / 'config.py').write_text(CONFIG.replace('DATA_ROOT', str(folder)))
    (folder / 'tolerant.py').write_text(TOLERANT)
    (folder / '3.avi').write_bytes((folder / '3.avi').read_bytes()[:9000])
    (folder / '5.avi').write_bytes(b'')
    (folder / '8.avi').unlink()
    os.mkfifo(folder / '8.avi')
    return folder


REASONS = {
    3: 'the decoder crashed on it',
    5: 'the file is empty',
    8: 'no answer within 3 seconds',
}


def run(*arguments: object, processes: int = 0) -> tuple[int, str, str]:
    launcher = [sys.executable]
    if processes:
        launcher += ['-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={processes}']
    command = [*launcher, *map(str, arguments)]
    environment = dict(PYTHONPATH=str(ROOT), PATH='/usr/bin:/bin', OMP_NUM_THREADS='1')
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=200
    )
    return done.returncode, done.stdout, done.stderr


def train(config: Path, work_dir: Path, *arguments: object, **kwargs) -> tuple[int, str, str]:
    return run('tools/train.py', config, '--work-dir', work_dir, '--seed', 3, *arguments, **kwargs)


@pytest.fixture(scope='module')
def trained(project, tmp_path_factory) -> tuple[Path, str]:
    work_dir = tmp_path_factory.mktemp('trained')
    code, output, errors = train(project / 'tolerant.py', work_dir)
    assert code == 0, errors[-3000:]
    return work_dir, output + errors


@pytest.mark.slow
def test_training_goes_on(project, trained):
    work_dir, output = trained
    assert (work_dir / 'epoch_2.pth').is_file()
    for number, reason in REASONS.items():
        line = f'cannot read video {project}/{number}.avi: {reason}; replaced'
        assert output.count(line) == 1
    counts = re.findall(r'Epoch\(train\) \[(\d)\]  replaced items: (\d+), .*: (\d) of 12', output)
    assert counts == [('1', '3', '3'), ('2', '3', '3')]
    assert 'skipped/videos: 3.0' in output  # of the validation


@pytest.mark.slow
def test_two_processes_stop_together_at_too_many(project, tmp_path):
    code, output, errors = train(
        project / 'config.py',
        tmp_path,
        '--launcher',
        'pytorch',
        '--cfg-options',
        'train_dataloader.batch_size=1',
        processes=2,
    )
    assert code != 0
    message = errors[errors.rindex('error: ') :]
    assert '3 of 12 training videos cannot be read, more than max_share=0.01' in message
    for number, reason in REASONS.items():
        assert f'{project}/{number}.avi: {reason}' in message
    assert not list(tmp_path.glob('epoch_*.pth'))


@pytest.mark.slow
def test_testing(project, trained, tmp_path):
    test = (
        'tools/test.py',
        project / 'config.py',
        trained[0] / 'epoch_2.pth',
        '--work-dir',
        tmp_path,
    )
    code, output, errors = run(*test)
    assert code != 0
    message = errors[errors.rindex('error: ') :]
    assert '3 of 12 test videos are unreadable' in message
    for number, reason in REASONS.items():
        assert f'{project}/{number}.avi: {reason}' in message

    code, output, errors = run(*test, '--cfg-options', 'test_dataloader.dataset.on_bad_video=skip')
    assert code == 0, errors[-3000:]
    assert 'Retrieval over 9 videos and 18 texts' in output + errors
    assert output.splitlines()[-1] == 'skipped: 3 unreadable videos and their 6 texts'
