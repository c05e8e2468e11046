"""The command lines around weights, as a user runs them."""

import hashlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ts2net_mm.checkpoints import read_checkpoint

ROOT = Path(__file__).parents[2]
DATA = ROOT / 'tests' / 'data'


@pytest.fixture
def run(load_tool, monkeypatch, tmp_path, capsys):
    """Function that runs a tool; returns exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(tool: str, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, arguments)])
        return load_tool(f'{tool}.py').main(), *capsys.readouterr()

    return call


@pytest.fixture(scope='module')
def released(tmp_path_factory) -> Path:
    """TS2-Net weights of the reference in a file as the released code writes it."""
    path = tmp_path_factory.mktemp('released') / 'pytorch_model.bin.4'
    weights = {}
    for name in ('tiny_released_weights', 'released_unused'):
        with np.load(DATA / f'{name}.npz') as arrays:
            weights |= {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}
    torch.save(weights, path)
    return path


def test_convert_there_and_back(run, released, tmp_path):
    for src, dst, to in (
        (released, 'ours.safetensors', 'ts2net_mm'),
        ('ours.safetensors', 'back.pth', 'released'),
    ):
        code, output, errors = run('convert_weights', src, dst, '--to', to)
        assert code == 0, errors
        assert re.search(rf'{dst}: 284 tensors, [\d,]+ numbers, {to} format', output)
    settings = read_checkpoint(tmp_path / 'ours.safetensors').settings
    assert settings['backbone']['shift_layers'] == [10, 11]
    assert settings['neck']['type'] == 'TokenSelection'
    before, after = torch.load(released), torch.load(tmp_path / 'back.pth')
    assert len(before.keys() - after.keys()) == 10
    assert all(torch.equal(tensor, before[key]) for key, tensor in after.items())


@pytest.mark.parametrize(
    ('tool', 'src', 'dst', 'message'),
    [
        ('convert_weights', '{released}', 'x.pth', 'cannot hold 54 of the tensors'),
        (
            'publish_model',
            ROOT / 'setup.cfg',
            'x.pth',
            r'setup\.cfg cannot be read as a checkpoint',
        ),
        ('publish_model', ROOT, 'x.pth', 'is a folder, expected a checkpoint file'),
    ],
)
def test_mistakes_are_one_line(run, released, tmp_path, tool, src, dst, message):
    to = ('--to', 'openai') if tool == 'convert_weights' else ()
    code, output, errors = run(tool, str(src).format(released=released), dst, *to)
    assert (code, output) == (1, '')
    assert re.search(message, errors)
    assert 'Traceback' not in errors
    assert list(tmp_path.iterdir()) == []


def test_publish(run, released, tmp_path):
    weights = torch.load(released)
    meta = dict(cfg='model = 1', hook_msgs=dict(last='/home/somebody'), epoch=5)
    training = dict(state_dict=weights, optimizer=dict(state=weights), message_hub={}, meta=meta)
    torch.save(training, tmp_path / 'epoch_5.pth')
    code, output, errors = run('publish_model', 'epoch_5.pth', tmp_path / 'out' / 'ts2net.pth')
    assert code == 0, errors
    published = Path(output.strip())
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    assert published == tmp_path / 'out' / f'ts2net-{digest[:8]}.pth'
    assert list((tmp_path / 'out').iterdir()) == [published]
    content = torch.load(published)
    assert set(content) == {'meta', 'state_dict'}
    assert content['meta'] == dict(cfg='model = 1', epoch=5)
    assert all(torch.equal(content['state_dict'][key], t) for key, t in weights.items())
