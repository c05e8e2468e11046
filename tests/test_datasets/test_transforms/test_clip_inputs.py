"""CLIP's pixels and tokens."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from ts2net_mm.datasets import CLIPResize, TokenizeCaptions

REFERENCE = json.loads((Path(__file__).parents[2] / 'data' / 'tokenizer.json').read_text())
START, END = 49406, 49407


@pytest.mark.parametrize('shape', [(48, 64), (64, 48), (30, 30), (20, 90)])
def test_resized_to_a_square(shape):
    frames = [np.full((*shape, 3), level, dtype=np.uint8) for level in (7, 200)]
    found = CLIPResize(size=32)(dict(imgs=frames))
    assert [frame.shape for frame in found['imgs']] == [(32, 32, 3)] * 2
    assert [np.unique(frame).tolist() for frame in found['imgs']] == [[7], [200]]
    assert found['imgs'][0].dtype == np.uint8
    assert found['img_shape'] == (32, 32)


def test_the_longer_side_is_cropped_to_its_centre():
    """Columns 20 to 59 of 80 are the middle square of 40."""
    frame = np.zeros((40, 80, 3), dtype=np.uint8)
    frame[:, 20:60] = 100
    frame[:, 20:40, 0] = 255
    (found,) = CLIPResize(size=20)(dict(imgs=[frame]))['imgs']
    assert (found[:, 2:8, 0] == 255).all()
    assert (found[:, 12:18, 0] == 100).all()
    assert found[:, 1:-1, 1].min() > 80


def test_fine_patterns_are_averaged():
    """An eighth of the size: without antialiasing single pixels would remain."""
    board = np.indices((256, 256)).sum(axis=0) % 2 * 255
    frame = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    (found,) = CLIPResize(size=32)(dict(imgs=[frame]))['imgs']
    assert np.abs(found.astype(float) - 127.5).max() < 3


@pytest.mark.parametrize('case', REFERENCE, ids=lambda case: ascii(case['text'])[:30])
def test_released_tokens(case):
    transform = TokenizeCaptions(max_words=case['max_words'])
    found = transform(dict(text=[case['text']]))['text']
    assert found.tolist() == [case['ids']]
    assert found.dtype == torch.int64


def test_a_long_caption_keeps_its_end_token():
    words = ' '.join(['cat'] * 100)
    (tokens,) = TokenizeCaptions(max_words=8)(dict(text=words))['text'].tolist()
    assert tokens[0] == START
    assert tokens[-1] == END
    assert tokens.count(tokens[1]) == 6


def test_all_captions_of_an_item():
    """Also in a copy for a worker."""
    captions = ['a cat', 'two dogs run', 'a cat']
    transform = TokenizeCaptions(max_words=10)
    together = pickle.loads(pickle.dumps(transform))(dict(text=captions))['text']
    assert together.shape == (3, 10)
    for row, caption in zip(together, captions, strict=True):
        assert torch.equal(row[None], transform(dict(text=caption))['text'])
    assert captions == ['a cat', 'two dogs run', 'a cat']


def test_settings_and_types():
    assert repr(TokenizeCaptions(max_words=20)) == 'TokenizeCaptions(max_words=20)'
    assert repr(CLIPResize(size=20)) == 'CLIPResize(size=20)'
    with pytest.raises(ValueError, match='max_words=2 leaves no room'):
        TokenizeCaptions(max_words=2)
    for caption in (None, 3, ['a cat']):
        with pytest.raises(TypeError, match='a caption must be a string, found '):
            TokenizeCaptions()(dict(text=[caption]))
