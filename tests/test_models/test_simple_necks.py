"""Necks that learn nothing: what each keeps."""

import pytest
import torch

from ts2net_mm.models import CLSOnly, FixedSelection, PatchMean


@pytest.fixture
def tokens():
    torch.manual_seed(1)
    return torch.rand(2, 3, 10, 16)


def kept(neck, tokens, attention=None) -> list[list[int]]:
    """The patches that the neck keeps of each frame, in their order."""
    selected = neck(tokens, None, attention).flatten(0, 1)
    frames = tokens.flatten(0, 1)
    assert torch.equal(selected[:, 0], frames[:, 0])  # [CLS]
    return [
        [int((frame == token).all(dim=-1).nonzero()) - 1 for token in chosen[1:]]
        for frame, chosen in zip(frames, selected, strict=True)
    ]


def test_cls_only_and_mean(tokens):
    assert torch.equal(CLSOnly()(tokens), tokens[:, :, :1])
    selected = PatchMean()(tokens)
    assert torch.equal(selected[:, :, 0], tokens[:, :, 0])
    torch.testing.assert_close(selected[:, :, 1], tokens[:, :, 1:].sum(dim=2) / 9)
    assert (PatchMean().num_tokens, CLSOnly().num_tokens) == (2, 1)


def test_first_patches(tokens):
    assert kept(FixedSelection(rule='first', topk=4), tokens) == [[0, 1, 2, 3]] * 6


def test_random_patches(tokens):
    neck = FixedSelection(rule='random', topk=3, noise_seed=2)
    drawn = [frame for _ in range(50) for frame in kept(neck.train(), tokens)]
    assert all(frame == sorted(set(frame)) for frame in drawn)
    counts = torch.bincount(torch.tensor(drawn).flatten(), minlength=9) / len(drawn)
    torch.testing.assert_close(counts, torch.full((9,), 3 / 9), atol=0.12, rtol=0)

    once = kept(neck.eval(), tokens)
    assert once == [once[0]] * 6 == kept(neck, tokens.flip(0))
    others = [kept(FixedSelection(noise_seed=seed).eval(), tokens)[0] for seed in range(10)]
    assert len({tuple(frame) for frame in others}) > 5


def test_most_attended_patches(tokens):
    attention = torch.rand(2, 3, 9)
    expected = [
        sorted(sorted(range(9), key=lambda patch: -frame[patch])[:2])
        for frame in attention.flatten(0, 1).tolist()
    ]
    neck = FixedSelection(rule='attention', topk=2)
    assert neck.needs_attention
    assert kept(neck, tokens, attention) == expected


@pytest.mark.parametrize('rule', ['first', 'random'])
def test_weights_say_what_is_kept(tokens, rule):
    neck = FixedSelection(rule=rule).eval()
    assert not neck.needs_attention
    weights = neck.patch_weights(tokens)
    assert torch.equal(weights @ tokens[:, :, 1:], neck(tokens)[:, :, 1:])
    best = neck.patch_scores(tokens).topk(3).indices.sort().values
    assert torch.equal(weights.argmax(dim=-1), best)


def test_bad_settings(tokens):
    with pytest.raises(ValueError, match="rule='last' is unknown, choose one of"):
        FixedSelection(rule='last')
    with pytest.raises(ValueError, match='topk=0 must be positive'):
        FixedSelection(topk=0)
    with pytest.raises(ValueError, match='topk=10 must be between 1 and the 9 candidates'):
        FixedSelection(topk=10)(tokens)
    with pytest.raises(ValueError, match="rule='attention' needs the attention of "):
        FixedSelection(rule='attention')(tokens)
