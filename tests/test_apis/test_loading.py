import pytest
import torch
from mmengine.config import Config

from ts2net_mm.apis.loading import (
    build_model,
    fingerprint,
    load_config,
    load_weights,
    resolve_device,
)


@pytest.fixture
def model(config_file):
    return build_model(load_config(config_file))


@pytest.fixture
def state_dict(checkpoint):
    return torch.load(checkpoint)['state_dict']


def assert_loaded(model, state_dict):
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, state_dict[key], rtol=0, atol=0)


def test_a_checkpoint_is_loaded(model, checkpoint, state_dict):
    load_weights(model, checkpoint)
    assert_loaded(model, state_dict)


def test_a_plain_state_dict_of_a_parallel_model_is_loaded(model, state_dict, tmp_path):
    path = tmp_path / 'plain.pth'
    torch.save({f'module.{key}': value for key, value in state_dict.items()}, path)
    load_weights(model, path)
    assert_loaded(model, state_dict)


def test_another_architecture_lists_ten_keys(model, state_dict, tmp_path):
    names = list(state_dict)
    changed = dict(state_dict)
    changed[names[0]] = torch.zeros(2, 3)
    for name in names[1:13]:
        del changed[name]
    changed['extra.weight'] = torch.zeros(1)
    path = tmp_path / 'other.pth'
    torch.save(dict(state_dict=changed), path)
    with pytest.raises(ValueError, match='does not fit the model') as caught:
        load_weights(model, path)
    message = str(caught.value)
    assert 'other.pth' in message
    assert '12 missing: ' + ', '.join(names[1:11]) + ', ...' in message
    assert '1 unexpected: extra.weight' in message
    shape = tuple(state_dict[names[0]].shape)
    assert f'1 misshapen: {names[0]} (2, 3) instead of {shape}' in message
    assert '\n' not in message


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'<!DOCTYPE html><html></html>', 'starts like a web page'),
        (b'', 'the file is empty'),
        (b'version https://git-lfs.github.com/spec/v1\noid', 'Git LFS pointer'),
        (b'some text of no kind', 'cannot be read as a checkpoint: '),
    ],
)
def test_files_that_are_no_checkpoint(model, tmp_path, content, reason):
    path = tmp_path / 'file.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason) as caught:
        load_weights(model, path)
    assert '\n' not in str(caught.value)


def test_a_checkpoint_that_is_cut_off(model, checkpoint, tmp_path):
    path = tmp_path / 'cut.pth'
    path.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r'cut\.pth cannot be read as a checkpoint'):
        load_weights(model, path)


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        ([1, 2], 'holds a list, expected a state dict'),
        (dict(epoch=3), 'holds no state dict: the entries epoch are no tensors'),
        (dict(), 'holds no state dict: it is empty'),
    ],
)
def test_checkpoints_of_something_else(model, tmp_path, content, reason):
    path = tmp_path / 'file.pth'
    torch.save(content, path)
    with pytest.raises(ValueError, match=reason):
        load_weights(model, path)


def test_a_missing_checkpoint(model, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'checkpoint .*no\.pth does not exist'):
        load_weights(model, tmp_path / 'no.pth')


def test_a_missing_config(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'config .*no\.py does not exist'):
        load_config(tmp_path / 'no.py')


@pytest.mark.parametrize(
    ('name', 'text', 'reason'),
    [
        ('a.py', 'x = = 1', r'config .*a\.py cannot be read: SyntaxError'),
        ('a.pth', 'x', r'config .*a\.pth cannot be read'),
        ('a.py', 'x = 1', r"config .*a\.py describes no model, found keys \['x'\]"),
    ],
)
def test_configs_that_do_not_serve(tmp_path, name, text, reason):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=reason):
        load_config(path)


def test_an_unknown_key_of_the_model_is_named(config_file):
    config = Config.fromfile(config_file)
    config.model.neck.bogus = 1
    with pytest.raises(ValueError, match=r"tiny\.py cannot be built: .*TokenSelection.*'bogus'"):
        build_model(config)


def test_an_unknown_model_is_named(config_file):
    config = Config.fromfile(config_file)
    config.model.type = 'NoSuchNet'
    with pytest.raises(ValueError, match='cannot be built: KeyError: NoSuchNet is not in'):
        build_model(config)


def test_the_fingerprint_tells_models_and_settings_apart(model, config_file):
    original = fingerprint(model, dict(a=1))
    twin = build_model(load_config(config_file))
    twin.load_state_dict(model.state_dict())
    assert fingerprint(twin, dict(a=1)) == original
    assert fingerprint(model, dict(a=2)) != original
    with torch.no_grad():
        model.head.logit_scale.add_(1e-3)
    assert fingerprint(model, dict(a=1)) != original


@pytest.mark.parametrize('device', ['nonsense', 'cuda:99'])
def test_a_device_that_is_not_there(device):
    with pytest.raises(ValueError, match=f"device '{device}' cannot be used"):
        resolve_device(device)


def test_the_default_device():
    expected = 'cuda' if torch.cuda.is_available() else 'cpu'
    assert resolve_device(None).type == expected
    assert resolve_device('cpu') == torch.device('cpu')
