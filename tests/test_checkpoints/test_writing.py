"""Round trips between formats are exact to the bit; what a format cannot hold is an error."""

import json
from itertools import permutations

import pytest
import torch

from ts2net_mm.checkpoints import (
    Checkpoint,
    config_of,
    convert_checkpoint,
    read_checkpoint,
    save_weights,
)


def assert_equal(found, expected):
    """Same keys, dtypes and bits."""
    assert set(found) == set(expected)
    for key, tensor in expected.items():
        assert found[key].dtype == tensor.dtype, key
        assert torch.equal(found[key], tensor), key


PLAIN = ('ts2net_mm', 'openai', 'huggingface', 'open_clip', 'released')


@pytest.mark.parametrize(('first', 'second'), list(permutations(PLAIN, 2)))
def test_plain_clip_goes_through_every_pair(openai, tmp_path, first, second):
    """As a file of torch and back as one of safetensors."""
    start, config = convert_checkpoint(Checkpoint(openai), first)
    save_weights(tmp_path / 'first.pth', start, config, first)
    there, config = convert_checkpoint(read_checkpoint(tmp_path / 'first.pth'), second)
    save_weights(tmp_path / 'second.safetensors', there, config, second)
    back, _ = convert_checkpoint(read_checkpoint(tmp_path / 'second.safetensors'), first)
    assert_equal(back, start)
    original, _ = convert_checkpoint(Checkpoint(back), 'openai')
    assert_equal(original, openai)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('kind', ['meanP', 'seqTransf', 'seqLSTM', 'ts2net'])
def test_released_weights_go_through_ours(released, clip4clip, tmp_path, kind, suffix):
    weights = released if kind == 'ts2net' else clip4clip(kind)
    ours, config = convert_checkpoint(Checkpoint(weights), 'ts2net_mm')
    save_weights(tmp_path / f'ours{suffix}', ours, config, 'ts2net_mm')
    back, _ = convert_checkpoint(read_checkpoint(tmp_path / f'ours{suffix}'), 'released')
    if kind == 'seqLSTM':  # CLIP4Clip does not read its table of positions
        del weights['frame_position_embeddings.weight']
    assert_equal(back, weights)


def test_shift_layers_survive_in_our_files(released, tmp_path):
    """They leave no trace in the tensors."""
    renamed = {key.replace('.11.attn.net.', '.11.attn.'): t for key, t in released.items()}
    ours, config = convert_checkpoint(Checkpoint(renamed), 'ts2net_mm')
    assert config['backbone']['shift_layers'] == (10,)
    save_weights(tmp_path / 'ours.pth', ours, config, 'ts2net_mm')
    found = read_checkpoint(tmp_path / 'ours.pth')
    assert list(config_of(found)['backbone']['shift_layers']) == [10]
    assert_equal(convert_checkpoint(found, 'released')[0], renamed)


@pytest.mark.parametrize('to', ['openai', 'huggingface', 'open_clip'])
def test_a_clip_has_no_place_for_a_selection(released, to):
    message = 'released: .* weights cannot hold 54 of the tensors: head.temporal'
    with pytest.raises(ValueError, match=message):
        convert_checkpoint(Checkpoint(released, name='released'), to)


@torch.no_grad()
@pytest.mark.parametrize('activation', ['quick_gelu', 'gelu'])
def test_transformers_opens_our_folder(hugging_face_model, batch, tmp_path, activation):
    transformers = pytest.importorskip('transformers')
    theirs = hugging_face_model(hidden_act=activation)
    theirs.save_pretrained(tmp_path / 'theirs')
    checkpoint = read_checkpoint(tmp_path / 'theirs')
    ours, config = convert_checkpoint(checkpoint, 'ts2net_mm')
    save_weights(tmp_path / 'ours.pth', ours, config, 'ts2net_mm')
    weights, config = convert_checkpoint(read_checkpoint(tmp_path / 'ours.pth'), 'huggingface')
    save_weights(tmp_path / 'again', weights, config, 'huggingface')
    again = transformers.CLIPModel.from_pretrained(tmp_path / 'again').eval()
    assert_equal(dict(again.state_dict()), dict(theirs.state_dict()))
    imgs, text = batch
    found = again(pixel_values=imgs, input_ids=text).logits_per_image
    torch.testing.assert_close(found, theirs(pixel_values=imgs, input_ids=text).logits_per_image)


def test_open_clip_loads_what_we_write(openai, open_clip_model, tmp_path):
    weights, config = convert_checkpoint(Checkpoint(openai), 'open_clip')
    save_weights(tmp_path / 'clip.pt', weights, config, 'open_clip')
    loaded = torch.load(tmp_path / 'clip.pt')
    open_clip_model().load_state_dict(loaded, strict=True)


@pytest.mark.parametrize(
    ('name', 'to', 'message'),
    [
        ('clip.onnx', 'openai', r'clip\.onnx must end in \.pth, \.pt, \.bin, \.safetensors$'),
        ('folder', 'released', r'folder must end in \.pth, \.pt, \.bin, \.safetensors$'),
        ('clip.h5', 'huggingface', r'\.safetensors, or be a folder$'),
    ],
)
def test_another_suffix(openai, tmp_path, name, to, message):
    weights, config = convert_checkpoint(Checkpoint(openai), to)
    with pytest.raises(ValueError, match=message):
        save_weights(tmp_path / name, weights, config, to)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_old_file(openai, tmp_path, monkeypatch):
    weights, config = convert_checkpoint(Checkpoint(openai), 'ts2net_mm')
    path = tmp_path / 'clip.pth'
    path.write_text('what was there before')

    def fill_the_disk(content, file):
        file.write(b'a first part')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(torch, 'save', fill_the_disk)
    with pytest.raises(OSError, match='No space left'):
        save_weights(path, weights, config, 'ts2net_mm')
    assert path.read_text() == 'what was there before'
    assert [entry.name for entry in tmp_path.iterdir()] == ['clip.pth']


def test_hugging_face_config_is_what_transformers_writes(hugging_face_model, tmp_path):
    theirs = hugging_face_model()
    theirs.save_pretrained(tmp_path / 'theirs')
    weights, config = convert_checkpoint(read_checkpoint(tmp_path / 'theirs'), 'huggingface')
    save_weights(tmp_path / 'ours', weights, config, 'huggingface')
    expected, found = (
        json.loads((tmp_path / name / 'config.json').read_text()) for name in ('theirs', 'ours')
    )
    for part in ('vision_config', 'text_config'):
        for key, value in found[part].items():
            if key != 'projection_dim':  # the parts' own is not used in CLIPModel
                assert expected[part][key] == value, (part, key)
    assert found['projection_dim'] == expected['projection_dim']


GELU = dict(text_encoder=dict(act_cfg=dict(type='GELU')))
SHIFTING = dict(backbone=dict(shift_layers=[1], num_shift_tokens=4))
WIDE = dict(backbone=dict(num_heads=4))
AVERAGED = dict(head=dict(temporal=dict(type='TokenMean')))
WEIGHTED = dict(head=dict(similarity=dict(type='FrameWeightedSimilarity')))


@pytest.mark.parametrize(
    ('settings', 'to', 'message'),
    [
        (GELU, 'openai', "text_encoder.act_cfg='gelu', they mean 'quick_gelu'"),
        (GELU, 'released', "text_encoder.act_cfg='gelu', they mean 'quick_gelu'"),
        (WIDE, 'openai', 'backbone.num_heads=4, they mean 2'),
        (SHIFTING, 'huggingface', r'backbone.shift_layers=\(1,\), they mean \(\)'),
        (SHIFTING, 'released', 'backbone.num_shift_tokens=4, they mean 7'),
        (AVERAGED, 'released', "type='TokenMean', they mean"),
        (WEIGHTED, 'released', "type='FrameWeightedSimilarity', they mean 'MeanPooledSimilarity'"),
    ],
)
def test_settings_that_would_be_lost(openai, settings, to, message):
    with pytest.raises(ValueError, match='cannot express .*' + message):
        convert_checkpoint(Checkpoint(openai, settings), to)
    convert_checkpoint(Checkpoint(openai, settings), 'ts2net_mm')


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(neck=dict(topk=5)), 'neck.topk=5, they mean 3'),
        (dict(neck=dict(candidates='all')), "neck.candidates='all', they mean 'patches'"),
        (dict(backbone=dict(shift=dict(type='ChannelShift'))), 'backbone.shift=.*they mean None'),
    ],
)
def test_variants_are_not_what_the_release_computes(released, settings, message):
    with pytest.raises(ValueError, match=f'cannot express {message}'):
        convert_checkpoint(Checkpoint(released, settings), 'released')


def test_only_a_config_json_states_the_heads(openai):
    checkpoint = Checkpoint(openai, WIDE)
    convert_checkpoint(checkpoint, 'huggingface')
    with pytest.raises(ValueError, match='Hugging Face weights cannot express backbone.num_heads'):
        convert_checkpoint(checkpoint, 'huggingface', has_config_json=False)
