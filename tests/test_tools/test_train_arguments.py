"""What tools/train.py says about checkpoints, without a training."""

import re
import sys

import pytest
import torch
from mmengine.runner import Runner

from ts2net_mm.engine.resuming import NoCheckpointError


@pytest.fixture
def train(load_tool, monkeypatch, tmp_path):
    """Function that runs the command line with a config of nothing."""
    tool = load_tool('train.py')
    names = ('model', 'default_hooks', 'train_dataloader', 'train_cfg', 'optim_wrapper')
    (tmp_path / 'config.py').write_text('\n'.join(f'{name} = dict()' for name in names))

    def run(*arguments):
        command = ['train.py', tmp_path / 'config.py', '--work-dir', tmp_path, *arguments]
        monkeypatch.setattr(sys, 'argv', [str(part) for part in command])
        return tool.main()

    return run


def test_damaged_checkpoint_by_name(train, tmp_path, capsys):
    path = tmp_path / 'iter_4.pth'
    torch.save(dict(), path)
    path.write_bytes(path.read_bytes()[:-1])
    assert train('--resume', path) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r'error: --resume: checkpoint .*iter_4\.pth is truncated', line)


def test_nothing_but_damaged_checkpoints_ends_with_one_line(train, monkeypatch, capsys):
    def fail(cfg):
        raise NoCheckpointError('no checkpoint of work is complete')

    monkeypatch.setattr(Runner, 'from_cfg', fail)
    assert train('--resume') == 1
    assert capsys.readouterr().err == 'error: no checkpoint of work is complete\n'


@pytest.mark.parametrize(
    ('files', 'expected'),
    [
        ((), 'has no checkpoint yet'),
        (('iter_4.pth',), r'the same command with --resume continues from .*iter_4\.pth'),
        (('iter_4.cut',), r'all checkpoints of .* are damaged: iter_4\.pth'),
    ],
)
def test_ctrl_c_tells_how_to_resume(train, tmp_path, monkeypatch, capsys, files, expected):
    for name in files:
        path = (tmp_path / name).with_suffix('.pth')
        torch.save(dict(), path)
        if name.endswith('.cut'):
            path.write_bytes(b'')

    def interrupt(cfg):
        raise KeyboardInterrupt

    monkeypatch.setattr(Runner, 'from_cfg', interrupt)
    assert train() == 130
    line = capsys.readouterr().err.splitlines()[-1]
    assert re.search(f'^interrupted; .*{expected}', line)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--amp',), '--amp needs a GPU; on a CPU'),
        (('--auto-scale-lr',), '--auto-scale-lr: config .* has no auto_scale_lr'),
        (('--cfg-options', 'train_cfg=None'), 'config .* has no train_cfg; training needs'),
        (
            ('--cfg-options', 'train_dataloader.batch_size=0'),
            'config .*: train_dataloader.batch_size=0 is not a positive integer',
        ),
    ],
)
def test_what_does_not_go_together_is_one_line(train, capsys, monkeypatch, arguments, message):
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cpu')
    assert train(*arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f'error: {message}', line)
