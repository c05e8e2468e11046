"""Files of every container are read, nothing in them runs, and bad ones give one clear line."""

import json
import os
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from ts2net_mm.checkpoints import load_weights, read_checkpoint, read_state_dict


class Evil:
    """Runs a command where a pickle is loaded without care."""

    def __init__(self, trace) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.system, (f'touch {self.trace}',)


def test_containers_are_recognised_by_their_content(openai, tmp_path, save_torchscript):
    save_file(openai, tmp_path / 'a.pt')
    torch.save(openai, tmp_path / 'b.safetensors')
    torch.save(openai, tmp_path / 'c', _use_new_zipfile_serialization=False)
    save_torchscript(openai, tmp_path / 'd.bin')
    for wrapper in ('state_dict', 'model_state_dict', 'model'):
        torch.save({'epoch': 3, wrapper: openai, 'optimizer': {'state': {}}}, tmp_path / wrapper)
    for path in tmp_path.iterdir():
        found = read_state_dict(path)
        assert set(found) == set(openai), path
        assert all(torch.equal(found[key], tensor) for key, tensor in openai.items()), path
        assert {found[key].dtype for key in found} == {torch.float16, torch.float32, torch.int64}


def test_torchscript_keeps_views_and_empty_tensors(tmp_path, save_torchscript):
    base = torch.arange(12.0).view(3, 4)
    save_torchscript(dict(a=base.T, b=base[1:, ::2], empty=torch.zeros(0, 3)), tmp_path / 'x')
    found = read_state_dict(tmp_path / 'x')
    assert torch.equal(found['a'], base.T)
    assert torch.equal(found['b'], base[1:, ::2])
    assert found['empty'].shape == (0, 3)


@pytest.mark.parametrize(
    ('kind', 'message'),
    [
        ('protocol 2', r'it asks for \S+\.system, which no weights need'),
        ('protocol 4', 'it is a pickle of more than'),
        ('torchscript', r'.*it asks for \S+\.system, which no weights need'),
    ],
)
def test_code_in_a_file_does_not_run(tmp_path, kind, message):
    trace = tmp_path / 'trace'
    path = tmp_path / 'evil.pth'
    if kind == 'torchscript':
        with zipfile.ZipFile(path, 'w') as archive:
            archive.writestr('evil/constants.pkl', pickle.dumps(()))
            archive.writestr('evil/data.pkl', pickle.dumps(Evil(trace), protocol=2))
    else:
        torch.save({'state_dict': Evil(trace)}, path, pickle_protocol=int(kind[-1]))
    with pytest.raises(ValueError, match=rf'evil\.pth .*: {message}'):
        read_checkpoint(path)
    assert not trace.exists()


def test_a_tensor_outside_its_storage(tmp_path, save_torchscript):
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
def test_truncated_files(openai, tmp_path, save_torchscript, container):
    save = dict(torch=torch.save, safetensors=save_file, torchscript=save_torchscript)[container]
    save(openai, tmp_path / 'whole')
    content = (tmp_path / 'whole').read_bytes()
    (tmp_path / 'cut').write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match='cut cannot be read as a checkpoint: ') as caught:
        read_checkpoint(tmp_path / 'cut')
    assert container == 'safetensors' or 'it is truncated' in str(caught.value)


def test_a_record_with_a_wrong_checksum(openai, tmp_path):
    path = tmp_path / 'x.pt'
    torch.save(openai, path)
    data = bytearray(path.read_bytes())
    data[data.index(openai['visual.proj'].numpy().tobytes())] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        ValueError, match=r'x\.pt cannot .*the checksum of its record x/data/\d+ is'
    ):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([1, 2], r'holds a list, expected a state dict'),
        (dict(state_dict={}), 'holds no state dict: it is empty'),
        (dict(epoch=3, name='x'), 'holds no state dict: the entries epoch, name are no tensors'),
    ],
)
def test_content_that_is_no_state_dict(tmp_path, content, message):
    torch.save(content, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=r'x\.pth ' + message):
        load_weights(torch.nn.Identity(), tmp_path / 'x.pth')


def test_missing_files_and_folders_without_weights(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'no\.pt does not exist; a name would be .*ViT-B/32'
    ):
        read_checkpoint(tmp_path / 'no.pt')
    (tmp_path / 'notes.txt').touch()
    with pytest.raises(FileNotFoundError, match=r"none of model\.safetensors, .*\['notes\.txt'\]"):
        read_checkpoint(tmp_path)


def test_an_unreadable_config_next_to_the_weights(openai, tmp_path):
    save_file(openai, tmp_path / 'model.safetensors')
    (tmp_path / 'config.json').write_text('{"model_type": ')
    with pytest.raises(ValueError, match=r'config\.json cannot be read'):
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
def test_a_stored_config_names_parts_of_this_package_only(openai, tmp_path, stored, message):
    """A registry would build whatever can be imported."""
    torch.save(dict(state_dict=openai, meta=dict(ts2net_mm_model=stored)), tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path / 'x.pth')


def test_a_variant_spread_over_files_of_torch(tmp_path):
    names = {f'pytorch_model.fp16-0000{n}-of-00002.bin': f'part{n}' for n in (1, 2)}
    for file, key in names.items():
        torch.save({key: torch.ones(2)}, tmp_path / file)
    index = dict(weight_map={key: file for file, key in names.items()})
    (tmp_path / 'pytorch_model.bin.index.fp16.json').write_text(json.dumps(index))
    assert set(read_state_dict(tmp_path)) == {'part1', 'part2'}


@pytest.mark.parametrize(
    ('weight_map', 'message'),
    [
        (dict(key='list.bin'), r'list\.bin holds a list, expected a state dict'),
        (dict(key='../list.bin'), r"names '\.\./list\.bin', expected the name of a file next to"),
        (dict(key=3), r'names 3, expected the name of a file next to it'),
        (dict(a='a.bin', b='a.bin'), r'names 1 tensors that no file has: b'),
        (None, r'index\.json is no index of weight files: AttributeError'),
    ],
)
def test_an_index_of_something_else(tmp_path, weight_map, message):
    torch.save([1], tmp_path / 'list.bin')
    torch.save(dict(a=torch.ones(2)), tmp_path / 'a.bin')
    index = tmp_path / 'model.safetensors.index.json'
    index.write_text(json.dumps(dict(weight_map=weight_map)))
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path)
