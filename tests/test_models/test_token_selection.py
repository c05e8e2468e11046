"""The token selection."""

import copy
import pickle

import pytest
import torch

from ts2net_mm.models import TokenSelection
from ts2net_mm.models.layers import perturbed_topk


def build(**settings) -> TokenSelection:
    torch.manual_seed(0)
    return TokenSelection(**(dict(embed_dims=16, topk=3, num_samples=50) | settings)).eval()


@pytest.fixture
def tokens():
    torch.manual_seed(1)
    return torch.rand(2, 3, 10, 16)


def test_hard_selects_the_best_patches_in_order(tokens):
    neck = build(test_mode='hard')
    scores = neck.token_scores(tokens)
    selected = neck(tokens)
    for video in range(2):
        for frame in range(3):
            best = sorted(scores[video, frame, 1:].argsort(descending=True)[:3].tolist())
            expected = torch.stack([tokens[video, frame, 1 + patch] for patch in best])
            torch.testing.assert_close(selected[video, frame, 1:], expected)


def test_vanishing_sigma_equals_hard(tokens):
    soft, hard = build(sigma=1e-9), build(test_mode='hard')
    torch.testing.assert_close(soft(tokens), hard(tokens))


def test_fixed_noise_depends_on_the_frame_alone(tokens):
    neck = build()
    whole = neck(tokens)
    torch.manual_seed(99)
    assert torch.equal(neck(tokens), whole)
    torch.testing.assert_close(neck(tokens.flip(0)), whole.flip(0))
    torch.testing.assert_close(neck(tokens[1:, 2:]), whole[1:, 2:])


def test_fixed_noise_follows_from_the_seed(tokens, monkeypatch):
    neck, select, used = build(noise_seed=3), perturbed_topk.perturbed_topk, []

    def note_noise(scores, noise, *settings):
        used.append(noise)
        return select(scores, noise, *settings)

    monkeypatch.setattr(perturbed_topk, 'perturbed_topk', note_noise)
    for num_patches in (9, 6, 9):
        neck(tokens[:, :, : 1 + num_patches])
        generator = torch.Generator().manual_seed(3)
        assert torch.equal(used.pop(), torch.randn(1, 50, num_patches, generator=generator))


def test_fixed_noise_is_drawn_once_for_a_frame_size(tokens, monkeypatch):
    neck = build()
    whole, draw = neck(tokens), perturbed_topk.draw_noise
    monkeypatch.setattr(perturbed_topk, 'draw_noise', pytest.fail)
    assert torch.equal(neck(tokens), whole)
    for copied in (copy.deepcopy(neck), pickle.loads(pickle.dumps(neck))):
        assert torch.equal(copied(tokens), whole)
    monkeypatch.setattr(perturbed_topk, 'draw_noise', draw)
    smaller = tokens[:, :, :7]
    assert torch.equal(neck(smaller), build()(smaller))
    assert torch.equal(neck(tokens), whole)


def test_kept_noise_is_neither_saved_nor_rounded(tokens):
    neck = build()
    whole = neck(tokens)
    assert neck.state_dict().keys() == build().state_dict().keys()
    assert not list(neck.buffers())
    mlps = copy.deepcopy((neck.token_mlp, neck.score_mlp))
    neck.half()
    neck.token_mlp, neck.score_mlp = mlps
    assert torch.equal(neck(tokens), whole)


def test_fixed_noise_has_the_distribution_of_fresh_noise(tokens):
    fixed = build(num_samples=20_000, sigma=0.1)
    fresh = build(num_samples=20_000, sigma=0.1, test_mode='fresh_noise')
    torch.testing.assert_close(fixed(tokens), fresh(tokens), atol=0.02, rtol=0)


@pytest.mark.parametrize('mode', ['train', 'fresh_noise'])
def test_fresh_noise_differs_between_calls(tokens, mode):
    neck = build(test_mode='fresh_noise') if mode == 'fresh_noise' else build().train()
    assert not torch.equal(neck(tokens), neck(tokens))


def test_evaluation_does_not_change_the_global_random_state(tokens):
    neck = build()
    state = torch.get_rng_state()
    neck(tokens)
    assert torch.equal(torch.get_rng_state(), state)


def test_autocast_has_no_effect(tokens):
    neck = build()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        inside = neck(tokens)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, neck(tokens))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(topk=10), 'topk=10 must be between 1 and the 9 patches'),
        (dict(test_mode='soft'), "test_mode='soft' is unknown"),
        (dict(num_samples=0), 'num_samples=0 must be positive'),
    ],
)
def test_bad_settings(tokens, settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)(tokens)


def test_double_precision_is_kept(tokens):
    assert build().double()(tokens.double()).dtype == torch.float64
