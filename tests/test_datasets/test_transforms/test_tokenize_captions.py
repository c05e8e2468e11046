import json
import pickle
from pathlib import Path

import pytest
import torch

from ts2net_mm.datasets import TokenizeCaptions

REFERENCE = json.loads((Path(__file__).parents[2] / 'data' / 'tokenizer.json').read_text())
START, END = 49406, 49407


@pytest.mark.parametrize('case', REFERENCE, ids=lambda case: ascii(case['text'])[:30])
def test_released_tokens(case):
    transform = TokenizeCaptions(max_words=case['max_words'])
    found = transform(dict(text=[case['text']]))['text']
    assert found.tolist() == [case['ids']]
    assert found.dtype == torch.int64


def test_reference_covers_cutting():
    assert any(case['ids'][-1] == END for case in REFERENCE)
    assert any(case['ids'][-1] == 0 for case in REFERENCE)


def test_a_long_caption_keeps_its_end():
    words = ' '.join(['cat'] * 100)
    (tokens,) = TokenizeCaptions(max_words=8)(dict(text=words))['text'].tolist()
    assert tokens[0] == START
    assert tokens[-1] == END
    assert tokens.count(tokens[1]) == 6


def test_all_captions_of_an_item():
    captions = ['a cat', 'two dogs run', 'a cat']
    transform = TokenizeCaptions(max_words=10)
    together = transform(dict(text=captions))['text']
    assert together.shape == (3, 10)
    for row, caption in zip(together, captions, strict=True):
        assert torch.equal(row[None], transform(dict(text=caption))['text'])
    assert captions == ['a cat', 'two dogs run', 'a cat']


def test_workers_can_get_a_copy():
    transform = TokenizeCaptions(max_words=12)
    copy = pickle.loads(pickle.dumps(transform))
    assert torch.equal(copy(dict(text='a cat'))['text'], transform(dict(text='a cat'))['text'])


@pytest.mark.parametrize('caption', [None, 3, ['a cat']])
def test_caption_that_is_no_string(caption):
    with pytest.raises(TypeError, match='a caption must be a string, found '):
        TokenizeCaptions()(dict(text=[caption]))


def test_too_few_words():
    with pytest.raises(ValueError, match='max_words=2 leaves no room'):
        TokenizeCaptions(max_words=2)


def test_repr():
    assert repr(TokenizeCaptions(max_words=20)) == 'TokenizeCaptions(max_words=20)'
