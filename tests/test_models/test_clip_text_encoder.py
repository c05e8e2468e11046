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


def test_tokens_after_the_end_of_text_have_no_effect():
    encoder = build()
    padded = encoder(torch.tensor([[48, 5, 49, 0, 0, 0], [48, 5, 49, 7, 3, 1]]))
    short = encoder(torch.tensor([[48, 5, 49]]))
    torch.testing.assert_close(padded, short.expand(2, -1))


@pytest.mark.parametrize(
    ('frozen_stages', 'expected'),
    [
        (-1, set()),
        (0, {'pos_embed', 'token_embedding'}),
        (1, {'pos_embed', 'token_embedding', 'layers.0'}),
    ],
)
def test_freezing(frozen_stages, expected):
    encoder = build(frozen_stages=frozen_stages)
    frozen = {name for name, p in encoder.named_parameters() if not p.requires_grad}
    assert {
        '.'.join(name.split('.')[: 1 + name.startswith('layers')]) for name in frozen
    } == expected


def test_errors():
    with pytest.raises(ValueError, match='a sentence of 11 tokens exceeds the 10 positions'):
        build()(torch.ones(1, 11, dtype=torch.long))
    with pytest.raises(ValueError, match='frozen_stages=3 must be -1 to 2'):
        build(frozen_stages=3)
