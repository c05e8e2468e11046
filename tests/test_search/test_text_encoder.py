"""The copy of a text encoder in an index, against the text encoder itself."""

import json
import os
from types import SimpleNamespace

import pytest
import torch

from ts2net_mm.datasets import TokenizeCaptions
from ts2net_mm.models import CLIPTextEncoder
from ts2net_mm.search.text_encoder import (
    StoredTextEncoder,
    TextSettings,
    copy_text_encoder,
    has_copy,
    source_of,
    store_text_encoder,
)

TEXTS = ['a dog catches a ball', 'x', "it's 狗 &amp; more", 'long ' * 50]


@pytest.mark.parametrize('activation', ['QuickGELU', 'GELU'])
def test_the_same_features(tmp_path, activation):
    torch.manual_seed(0)
    act_cfg = None if activation == 'QuickGELU' else dict(type=activation)
    encoder = CLIPTextEncoder(
        width=32, num_layers=3, num_heads=4, out_dims=16, act_cfg=act_cfg
    ).eval()
    state = {key: 0.3 * torch.randn_like(value) for key, value in encoder.state_dict().items()}
    encoder.load_state_dict(state)
    store_text_encoder(tmp_path, state, TextSettings('it', 20, 3, 4, activation))
    tokens = torch.as_tensor(TokenizeCaptions(max_words=20)(dict(text=TEXTS))['text'])
    stored = StoredTextEncoder(tmp_path)
    found = stored.encode_texts(TEXTS)
    with torch.no_grad():
        torch.testing.assert_close(found, encoder(tokens), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(stored.encode_texts(TEXTS[:1]), found[:1], rtol=1e-5, atol=1e-6)
    assert (has_copy(tmp_path, 'it'), has_copy(tmp_path, 'other')) == (True, False)
    with pytest.raises(ValueError, match=r"'\?!' has no word"):
        stored.encode_texts(['a', '?!'])


def test_adapters_are_part_of_the_copied_weights(tmp_path):
    pytest.importorskip('peft')
    torch.manual_seed(0)
    encoder = CLIPTextEncoder(
        width=32, num_layers=2, num_heads=4, out_dims=16, lora=dict(rank=2)
    ).eval()
    state = {key: 0.3 * torch.randn_like(value) for key, value in encoder.state_dict().items()}
    encoder.load_state_dict(state)
    model = SimpleNamespace(model=SimpleNamespace(text_encoder=encoder), max_words=20)
    assert copy_text_encoder(tmp_path, model, 'it')
    tokens = torch.as_tensor(TokenizeCaptions(max_words=20)(dict(text=TEXTS))['text'])
    with torch.no_grad():
        expected = encoder(tokens)
    found = StoredTextEncoder(tmp_path).encode_texts(TEXTS)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_source_is_config_and_weights(tmp_path):
    (tmp_path / 'base.py').write_text('size = 3')
    (tmp_path / 'a.py').write_text("_base_ = './base.py'\nmodel = dict(type='A')")
    (tmp_path / 'w.pth').write_bytes(b'weights')
    first = source_of(tmp_path / 'a.py', tmp_path / 'w.pth')
    assert source_of(tmp_path / 'a.py', tmp_path / 'w.pth') == first
    (tmp_path / 'base.py').write_text('size = 4')
    second = source_of(tmp_path / 'a.py', tmp_path / 'w.pth')
    (tmp_path / 'w.pth').write_bytes(b'other weights')
    third = source_of(tmp_path / 'a.py', tmp_path / 'w.pth')
    assert len({first, second, third, source_of(tmp_path / 'a.py', 'ViT-B/32')}) == 4


def test_damaged_copies(tmp_path, caplog):
    with pytest.raises(FileNotFoundError):
        StoredTextEncoder(tmp_path)
    store_text_encoder(tmp_path, {}, TextSettings('it', 20, 3, 4, 'GELU'))
    settings = tmp_path / 'text_encoder/settings.json'
    for content in ('{', json.dumps(dict(other=1))):
        settings.write_text(content)
        with pytest.raises(ValueError, match=r'settings.json is no description of a text encoder'):
            StoredTextEncoder(tmp_path)
        assert not has_copy(tmp_path, 'it')
        assert 'settings.json is no description of a text encoder' in caplog.messages.pop()
    store_text_encoder(tmp_path, {}, TextSettings('it', 20, 3, 4, 'GELU'))
    os.truncate(tmp_path / 'text_encoder/weights.safetensors', 5)
    with pytest.raises(ValueError, match=r'weights.safetensors is damaged .*: delete the folder'):
        StoredTextEncoder(tmp_path)
