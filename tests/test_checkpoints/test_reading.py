"""Files of every container are read, nothing in them runs, and bad ones get one clear line."""

import json
import os
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from ts2net_mm.checkpoints import convert_state_dict, load_any, read_checkpoint, read_state_dict


class Evil:
    """Would run a command where a pickle is loaded without care."""

    def __init__(self, trace) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.system, (f'touch {self.trace}',)


def test_containers_are_told_by_their_content(openai, tmp_path, save_torchscript):
    save_file(openai, tmp_path / 'a.pt')
    torch.save(openai, tmp_path / 'b.safetensors')
    torch.save(openai, tmp_path / 'c', _use_new_zipfile_serialization=False)
    torch.save(dict(state_dict=openai, epoch=3), tmp_path / 'd')
    save_torchscript(openai, tmp_path / 'e.bin')
    for name in ('a.pt', 'b.safetensors', 'c', 'd', 'e.bin'):
        found = read_state_dict(tmp_path / name)
        assert set(found) == set(openai), name
        assert all(torch.equal(found[key], tensor) for key, tensor in openai.items()), name
        assert {found[key].dtype for key in found} == {torch.float16, torch.float32, torch.int64}


def test_torchscript_keeps_views_and_empty_tensors(tmp_path, save_torchscript):
    base = torch.arange(12.0).view(3, 4)
    save_torchscript(dict(a=base.T, b=base[1:, ::2], empty=torch.zeros(0, 3)), tmp_path / 'x')
    found = read_state_dict(tmp_path / 'x')
    assert torch.equal(found['a'], base.T)
    assert torch.equal(found['b'], base[1:, ::2])
    assert found['empty'].shape == (0, 3)


@pytest.mark.parametrize(
    ('protocol', 'message'),
    [(2, r'it asks for \S+\.system, which no weights need'), (4, 'it is a pickle of more than')],
)
def test_code_in_a_pickle_does_not_run(tmp_path, protocol, message):
    trace = tmp_path / 'trace'
    path = tmp_path / 'evil.pth'
    torch.save({'state_dict': Evil(trace)}, path, pickle_protocol=protocol)
    with pytest.raises(ValueError, match=rf'evil\.pth .*: {message}'):
        read_checkpoint(path)
    assert not trace.exists()


def test_code_in_a_torchscript_archive_does_not_run(tmp_path):
    trace = tmp_path / 'trace'
    path = tmp_path / 'evil.pt'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('evil/constants.pkl', pickle.dumps(()))
        archive.writestr('evil/data.pkl', pickle.dumps(Evil(trace), protocol=2))
    with pytest.raises(ValueError, match=r'evil\.pt .*: it asks for \S+\.system, which no weight'):
        read_checkpoint(path)
    assert not trace.exists()


def test_tensor_outside_its_storage(tmp_path, save_torchscript):
    """A size that reads past the end would show other memory."""
    save_torchscript(dict(a=torch.arange(4.0)), tmp_path / 'good')
    with zipfile.ZipFile(tmp_path / 'good') as good, zipfile.ZipFile(tmp_path / 'x', 'w') as bad:
        for name in good.namelist():
            record = good.read(name)
            bad.writestr(name, record[:8] if name.endswith('data/0') else record)
    with pytest.raises(ValueError, match='x cannot be read as a checkpoint: RuntimeError'):
        read_checkpoint(tmp_path / 'x')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'the file is empty'),
        (b'<!DOCTYPE html><html>Not found</html>', 'it starts like a web page'),
        (b'\n  <html>', 'it starts like a web page'),
        (b'version https://git-lfs.github.com/spec/v1\noid', 'it is a Git LFS pointer'),
        (b'some text\nand more', r"it is a text file that starts with 'some text.nand more'"),
        (b'some\x00bytes', r'\w+Error: '),
    ],
)
def test_files_of_another_kind(tmp_path, content, message):
    path = tmp_path / 'clip.pt'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f'clip.pt cannot be read as a checkpoint: {message}'):
        read_checkpoint(path)


@pytest.mark.parametrize('container', ['torch', 'safetensors', 'torchscript'])
def test_files_that_are_cut_off(openai, tmp_path, save_torchscript, container):
    path = tmp_path / 'whole'
    if container == 'torch':
        torch.save(openai, path)
    elif container == 'safetensors':
        save_file(openai, path)
    else:
        save_torchscript(openai, path)
    cut = tmp_path / 'cut'
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match='cut cannot be read as a checkpoint: ') as caught:
        read_checkpoint(cut)
    assert container == 'safetensors' or 'it is truncated' in str(caught.value)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([1, 2], r'holds a list, expected a state dict'),
        ({}, 'holds no state dict: it is empty'),
        (dict(state_dict={}), 'holds no state dict: it is empty'),
        (dict(epoch=3, name='x'), 'holds no state dict: the entries epoch, name are no tensors'),
    ],
)
def test_content_that_is_no_state_dict(tmp_path, content, message):
    torch.save(content, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=r'x\.pth ' + message):
        read_checkpoint(tmp_path / 'x.pth')


@pytest.mark.parametrize('wrapper', ['state_dict', 'model_state_dict', 'model'])
def test_state_dicts_as_training_scripts_wrap_them(openai, tmp_path, wrapper):
    torch.save({'epoch': 3, wrapper: openai, 'optimizer': {'state': {}}}, tmp_path / 'x.pth')
    assert set(read_state_dict(tmp_path / 'x.pth')) == set(openai)


def test_a_record_with_a_wrong_checksum(openai, tmp_path):
    path = tmp_path / 'x.pt'
    torch.save(openai, path)
    data = bytearray(path.read_bytes())
    place = data.index(openai['visual.proj'].numpy().tobytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        ValueError, match=r'x\.pt cannot be .*the checksum of its record x/data/\d+ is'
    ):
        read_checkpoint(path)


def test_weights_that_are_not_finite(openai):
    bad = dict(openai, **{'visual.proj': openai['visual.proj'] * float('nan')})
    with pytest.raises(ValueError, match=r'1 of \d+ tensors hold NaN or infinite .*: visual\.proj'):
        convert_state_dict(bad)


def test_missing_files_and_folders_without_weights(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'no\.pt does not exist; a name would be .*ViT-B/32'
    ):
        read_checkpoint(tmp_path / 'no.pt')
    (tmp_path / 'notes.txt').touch()
    with pytest.raises(FileNotFoundError, match=r"none of model\.safetensors, .*\['notes\.txt'\]"):
        read_checkpoint(tmp_path)


def test_config_beside_the_weights_that_cannot_be_read(openai, tmp_path):
    save_file(openai, tmp_path / 'model.safetensors')
    (tmp_path / 'config.json').write_text('{"model_type": ')
    with pytest.raises(ValueError, match=r'config\.json cannot be read'):
        read_checkpoint(tmp_path)
    (tmp_path / 'config.json').write_text(
        json.dumps(dict(model_type='clip', text_config=dict(hidden_act='swish')))
    )
    with pytest.raises(ValueError, match="asks for the activation 'swish', known are quick_gelu"):
        read_checkpoint(tmp_path)
    (tmp_path / 'config.json').write_text('{"model_type": "bert"}')
    assert read_checkpoint(tmp_path).settings == {}


@pytest.mark.parametrize(
    ('stored', 'message'),
    [
        ('{"type": "subprocess.Popen"}', "with 'subprocess.Popen', which is no part"),
        ('{"neck": [{"type": "os.system"}]}', "with 'os.system', which is no part"),
        ('{"type": ', 'a model config that is no JSON'),
        ('[1]', 'a model config that is a list'),
    ],
)
def test_stored_config_names_parts_of_this_package_only(openai, tmp_path, stored, message):
    """A registry would build whatever can be imported."""
    torch.save(dict(state_dict=openai, meta=dict(ts2net_mm_model=stored)), tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path / 'x.pth')


def test_mmengine_loads_the_same(openai, tmp_path):
    from mmengine.runner import CheckpointLoader

    save_file(openai, tmp_path / 'clip.safetensors')
    found = CheckpointLoader.load_checkpoint(str(tmp_path / 'clip.safetensors'))
    assert set(found['state_dict']) == set(openai)
    with pytest.raises(FileNotFoundError, match='does not exist'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'no.pth'))
    torch.save(dict(state_dict=openai, optimizer=dict(state={})), tmp_path / 'run.pth')
    assert 'optimizer' in load_any(str(tmp_path / 'run.pth'), map_location='cpu')


def test_variant_spread_over_files_of_torch(tmp_path):
    names = {f'pytorch_model.fp16-0000{n}-of-00002.bin': f'part{n}' for n in (1, 2)}
    for file, key in names.items():
        torch.save({key: torch.ones(2)}, tmp_path / file)
    index = dict(weight_map={key: file for file, key in names.items()})
    (tmp_path / 'pytorch_model.bin.index.fp16.json').write_text(json.dumps(index))
    assert set(read_state_dict(tmp_path)) == {'part1', 'part2'}


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('list.bin', r'list\.bin holds a list, expected a state dict'),
        ('../list.bin', r"names '\.\./list\.bin', expected the name of a file next to it"),
        (3, r'names 3, expected the name of a file next to it'),
    ],
)
def test_index_of_something_else(tmp_path, name, message):
    torch.save([1], tmp_path / 'list.bin')
    index = tmp_path / 'model.safetensors.index.json'
    index.write_text(json.dumps(dict(weight_map=dict(key=name))))
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ('weights', 'config', 'message'),
    [
        (
            'open_clip_pytorch_model.bin',
            dict(model_cfg=dict(vision_cfg=dict(width=64, head_width=0))),
            r'open_clip_config\.json: vision_cfg\.head_width is 0, expected a whole number',
        ),
        (
            'pytorch_model.bin',
            dict(model_type='clip', text_config=dict(num_attention_heads='8')),
            r"/config\.json: text_config\.num_attention_heads is '8', expected a whole number",
        ),
        (
            'pytorch_model.bin',
            dict(model_type='clip', vision_config=[1]),
            r'/config\.json: vision_config is a list, expected an object',
        ),
    ],
)
def test_config_beside_with_wrong_values(tmp_path, weights, config, message):
    torch.save(dict(key=torch.ones(2)), tmp_path / weights)
    name = 'open_clip_config.json' if 'model_cfg' in config else 'config.json'
    (tmp_path / name).write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path)
