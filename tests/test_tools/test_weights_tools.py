"""The command lines around weights, as a user runs them."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ts2net_mm.checkpoints import read_checkpoint

ROOT = Path(__file__).parents[2]
DATA = ROOT / 'tests' / 'data'

pytestmark = pytest.mark.slow


def run(tool: str, *arguments: object, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / 'tools' / f'{tool}.py', *arguments]
    environment = dict(PYTHONPATH=str(ROOT), PATH='/usr/bin:/bin', OMP_NUM_THREADS='1')
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd=folder, env=environment
    )


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


def test_convert_there_and_back(released, tmp_path):
    for src, dst, to in (
        (released, 'ours.safetensors', 'ts2net_mm'),
        ('ours.safetensors', 'back.pth', 'released'),
    ):
        result = run('convert_weights', src, dst, '--to', to, folder=tmp_path)
        assert result.returncode == 0, result.stderr
        assert re.search(rf'{dst}: 284 tensors, [\d,]+ numbers, {to} format', result.stdout)
        skipped = '10 tensors skipped, which the released model saves but never reads'
        assert (skipped in result.stdout + result.stderr) == (src == released)
    before, after = torch.load(released), torch.load(tmp_path / 'back.pth')
    assert len(before.keys() - after.keys()) == 10
    assert all(torch.equal(tensor, before[key]) for key, tensor in after.items())


@pytest.mark.parametrize(
    ('arguments', 'code', 'message'),
    [
        (('no.pth', 'x.pth', '--to', 'openai'), 1, r'error: checkpoint no\.pth does not exist'),
        (('{released}', 'x.h5', '--to', 'released'), 1, r'x\.h5 must end in \.pth, \.pt, \.bin'),
        (('{released}', 'x.pth', '--to', 'openai'), 1, 'cannot hold 54 of the tensors'),
        (('{released}', '{released}', '--to', 'released'), 2, r'exists; --overwrite replaces it'),
    ],
)
def test_convert_mistakes(released, tmp_path, arguments, code, message):
    filled = [argument.format(released=released) for argument in arguments]
    result = run('convert_weights', *filled, folder=tmp_path)
    assert result.returncode == code
    assert re.search(message, result.stderr)
    assert 'Traceback' not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_publish(released, tmp_path):
    weights = torch.load(released)
    meta = dict(cfg='model = 1', hook_msgs=dict(last='/home/somebody'), epoch=5)
    training = dict(state_dict=weights, optimizer=dict(state=weights), message_hub={}, meta=meta)
    torch.save(training, tmp_path / 'epoch_5.pth')
    result = run('publish_model', tmp_path / 'epoch_5.pth', tmp_path / 'out' / 'ts2net.pth')
    assert result.returncode == 0, result.stderr
    published = Path(result.stdout.strip())
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    assert published == tmp_path / 'out' / f'ts2net-{digest[:8]}.pth'
    assert list((tmp_path / 'out').iterdir()) == [published]
    content = torch.load(published)
    assert set(content) == {'meta', 'state_dict'}
    assert content['meta'] == dict(cfg='model = 1', epoch=5)
    assert all(torch.equal(content['state_dict'][key], t) for key, t in weights.items())


@pytest.mark.parametrize(
    ('src', 'dst', 'code', 'message'),
    [
        ('no.pth', 'x.pth', 1, r'error: checkpoint no\.pth does not exist'),
        (ROOT / 'setup.cfg', 'x.pth', 1, r'setup\.cfg cannot be read as a checkpoint'),
        (ROOT, 'x.pth', 1, 'is a folder, expected a checkpoint file'),
        ('no.pth', 'x.bin', 2, r'x\.bin must end in \.pth'),
    ],
)
def test_publish_mistakes(tmp_path, src, dst, code, message):
    result = run('publish_model', src, dst, folder=tmp_path)
    assert result.returncode == code
    assert re.search(message, result.stderr)
    assert list(tmp_path.iterdir()) == []


def test_converted_weights_tell_their_model(released, tmp_path):
    run('convert_weights', released, tmp_path / 'ours.pth', '--to', 'ts2net_mm')
    settings = read_checkpoint(tmp_path / 'ours.pth').settings
    assert settings['backbone']['shift_layers'] == [10, 11]
    assert settings['neck']['type'] == 'TokenSelection'
