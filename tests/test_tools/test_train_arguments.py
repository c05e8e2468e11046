"""What tools/train.py says about checkpoints, without a training."""

import re
import sys

import pytest
import torch

from ts2net_mm.engine.resuming import NoCheckpointError


@pytest.fixture
def train(load_tool, monkeypatch, tmp_path):
    """Function that runs the command line with a config of nothing."""
    tool = load_tool('train.py')
    (tmp_path / 'config.py').write_text('model = dict()\ndefault_hooks = dict()\n')

    def run(*arguments):
        command = ['train.py', tmp_path / 'config.py', '--work-dir', tmp_path, *arguments]
        monkeypatch.setattr(sys, 'argv', [str(part) for part in command])
        tool.main()

    run.tool = tool
    return run


def test_damaged_checkpoint_by_name(train, tmp_path):
    path = tmp_path / 'iter_4.pth'
    torch.save(dict(), path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SystemExit, match=r'^--resume: checkpoint .*iter_4\.pth is cut off'):
        train('--resume', path)


def test_nothing_but_damaged_checkpoints_ends_with_one_line(train, monkeypatch):
    def fail(cfg):
        raise NoCheckpointError('no checkpoint of work is complete')

    monkeypatch.setattr(train.tool.Runner, 'from_cfg', fail)
    with pytest.raises(SystemExit, match='^error: no checkpoint of work is complete$'):
        train('--resume')


@pytest.mark.parametrize(
    ('files', 'expected'),
    [
        ((), 'has no checkpoint yet'),
        (('iter_4.pth',), r'the same command with --resume goes on from .*iter_4\.pth'),
        (('iter_4.cut',), r'no checkpoint of .* is complete: iter_4\.pth'),
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

    monkeypatch.setattr(train.tool.Runner, 'from_cfg', interrupt)
    with pytest.raises(SystemExit) as caught:
        train()
    assert caught.value.code == 130
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(f'^interrupted; .*{expected}', line)
