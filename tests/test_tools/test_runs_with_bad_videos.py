"""Whole runs over videos of which some are damaged, hang or crash the decoder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny import CONFIG, ROOT, make_project

BAD_VIDEOS = (
    CONFIG
    + """
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
test_evaluator = dict(hard_negative=None)
"""
)
TOLERANT = """
_base_ = './config.py'
custom_hooks = [
    dict(hook, max_share=0.5) if hook['type'] == 'BadVideosHook' else hook
    for hook in _base_.custom_hooks
]
"""


@pytest.fixture(scope='module')
def project(tmp_path_factory) -> Path:
    """A config and twelve videos: one crashes the decoder, one is empty, one hangs as a pipe."""
    folder = make_project(tmp_path_factory.mktemp('project'), num_videos=12, config=BAD_VIDEOS)
    (folder / 'tolerant.py').write_text(TOLERANT)
    path = folder / 'truncated.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 64))
    rng = np.random.default_rng(0)
    for _ in range(12):
        writer.write(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    writer.release()
    (folder / '3.mp4').write_bytes(path.read_bytes()[:9000])
    (folder / '5.mp4').write_bytes(b'')
    (folder / '8.mp4').unlink()
    os.mkfifo(folder / '8.mp4')
    return folder


REASONS = {
    3: 'the decoder crashed on it',
    5: 'the file is empty',
    8: 'no answer within 3 seconds',
}


@pytest.fixture(scope='module')
def trained(run_tool, project, tmp_path_factory) -> tuple[Path, str]:
    """The work folder and the output of a training."""
    work_dir = tmp_path_factory.mktemp('trained')
    code, output = run_tool(
        'train.py', project / 'tolerant.py', '--work-dir', work_dir, '--seed', 3
    )
    assert code == 0, output[-3000:]
    return work_dir, output


@pytest.mark.slow
def test_training_continues(project, trained):
    work_dir, output = trained
    assert (work_dir / 'epoch_2.pth').is_file()
    for number, reason in REASONS.items():
        line = f'cannot read video {project}/{number}.mp4: {reason}; replaced'
        assert output.count(line) == 1
    counts = re.findall(r'Epoch\(train\) \[(\d)\]  replaced items: (\d+), .*: (\d) of 12', output)
    assert counts == [('1', '3', '3'), ('2', '3', '3')]
    assert 'skipped/videos: 3.0' in output  # of the validation


@pytest.mark.slow
def test_two_processes_stop_together_at_too_many(project, tmp_path):
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2']
    command += ['tools/train.py', project / 'config.py', '--work-dir', tmp_path, '--seed=3']
    command += ['--launcher=pytorch', '--cfg-options', 'train_dataloader.batch_size=1']
    environment = dict(PYTHONPATH=str(ROOT), PATH='/usr/bin:/bin', OMP_NUM_THREADS='1')
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=200
    )
    assert done.returncode != 0
    message = done.stderr[done.stderr.rindex('error: ') :]
    assert '3 of 12 training videos are unreadable, more than max_share=0.01' in message
    for number, reason in REASONS.items():
        assert f'{project}/{number}.mp4: {reason}' in message
    assert not list(tmp_path.glob('epoch_*.pth'))


@pytest.mark.slow
def test_testing(run_tool, project, trained, tmp_path):
    weights = trained[0] / 'epoch_2.pth'
    test = ('test.py', project / 'config.py', weights, '--work-dir', tmp_path)
    code, output = run_tool(*test)
    assert code != 0
    message = output[output.rindex('error: ') :]
    assert '3 of 12 test videos are unreadable' in message
    for number, reason in REASONS.items():
        assert f'{project}/{number}.mp4: {reason}' in message

    option = 'test_dataloader.dataset.on_bad_video=skip'
    code, output = run_tool(*test, '--cfg-options', option)
    assert code == 0, output[-3000:]
    assert 'Retrieval over 9 videos and 18 texts' in output
    assert '\nskipped: 3 unreadable videos and their 6 texts\n' in output
