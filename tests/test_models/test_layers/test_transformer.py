"""CLIP blocks."""

import pytest
import torch

from ts2net_mm.models.layers.transformer import CLIPTransformer


@pytest.fixture
def blocks():
    torch.manual_seed(0)
    transformer = CLIPTransformer(width=16, num_layers=2, num_heads=2)
    transformer.init_weights()
    return transformer


def test_masked_keys_are_not_seen(blocks):
    x = torch.rand(2, 5, 16)
    mask = torch.tensor([True, True, True, False, False])[None, None, None].expand(2, 1, 1, 5)
    changed = x.clone()
    changed[:, 3:] = 7.0
    torch.testing.assert_close(blocks(x, mask)[:, :3], blocks(changed, mask)[:, :3])
    torch.testing.assert_close(blocks(x, mask)[:, :3], blocks(x[:, :3]))


def test_causal_tokens_do_not_see_later_ones(blocks):
    x = torch.rand(1, 5, 16)
    whole = blocks(x, is_causal=True)
    torch.testing.assert_close(whole[:, :3], blocks(x[:, :3], is_causal=True))


def test_checkpointing_gives_the_same_gradients(blocks):
    x = torch.rand(2, 5, 16)
    gradients = []
    for with_cp in (False, True):
        blocks.zero_grad()
        blocks.train().with_cp = with_cp
        blocks(x).square().sum().backward()
        gradients.append([p.grad.clone() for p in blocks.parameters()])
    torch.testing.assert_close(*gradients)
