"""The sentence encoder."""

import pytest
import torch

from ts2net_mm.models import CLIPTextEncoder


def build(**settings) -> CLIPTextEncoder:
    torch.manual_seed(0)
    sizes = dict(vocab_size=50, context_length=10, width=16, num_layers=2, num_heads=2, out_dims=8)
    encoder = CLIPTextEncoder(**(sizes | settings))
    encoder.init_weights()
    return encoder.eval()


def test_what_follows_the_end_of_text_does_not_matter():
    encoder = build()
    padded = encoder(torch.tensor([[48, 5, 49, 0, 0, 0], [48, 5, 49, 7, 3, 1]]))
    short = encoder(torch.tensor([[48, 5, 49]]))
    torch.testing.assert_close(padded, short.expand(2, -1))


def test_word_order_matters():
    first, second = build()(torch.tensor([[48, 5, 6, 49], [48, 6, 5, 49]]))
    assert not torch.allclose(first, second)


@pytest.mark.parametrize(
    ('frozen_stages', 'expected'),
    [
        (-1, set()),
        (0, {'pos_embed', 'token_embedding.weight'}),
    ],
)
def test_freezing(frozen_stages, expected):
    encoder = build(frozen_stages=frozen_stages)
    assert {n for n, p in encoder.named_parameters() if not p.requires_grad} == expected


def test_freezing_blocks():
    encoder = build(frozen_stages=1)
    trained = {
        n.split('.')[1] for n, p in encoder.layers.named_parameters('layers') if p.requires_grad
    }
    assert trained == {'1'}


def test_too_long_a_sentence():
    with pytest.raises(ValueError, match='a sentence of 11 tokens exceeds the 10 positions'):
        build()(torch.ones(1, 11, dtype=torch.long))


def test_frozen_stages_out_of_range():
    with pytest.raises(ValueError, match='frozen_stages=3 must be -1 to 2'):
        build(frozen_stages=3)
