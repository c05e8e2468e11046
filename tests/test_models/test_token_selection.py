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

    def note_noise(scores, noise, *settings, **options):
        used.append(noise)
        return select(scores, noise, *settings, **options)

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


def score_from(neck, patch, context) -> torch.Tensor:
    """The score of a patch, its context given, by the layers one after the other."""
    (norm, first, gelu), (second, _, third, tanh) = neck.token_mlp, neck.score_mlp
    hidden = torch.cat([gelu(first(norm(token))) for token in (patch, *context)])
    return tanh(third(gelu(second(hidden))))


@pytest.mark.parametrize('context', ['frame', 'video', 'none'])
def test_what_a_score_depends_on(tokens, context):
    neck = build(context=context)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    scores = neck.patch_scores(tokens, mask)
    for video, num_frames in enumerate((2, 3)):
        mean = sum(tokens[video, frame, 0] for frame in range(num_frames)) / num_frames
        for frame in range(num_frames):
            given = dict(frame=[tokens[video, frame, 0]], video=[mean], none=[])[context]
            for patch in (0, 8):
                expected = score_from(neck, tokens[video, frame, 1 + patch], given)
                torch.testing.assert_close(scores[video, frame, patch], expected[0])
    # without a mask all frames are valid
    torch.testing.assert_close(neck.patch_scores(tokens)[1], scores[1])


def test_cls_as_a_candidate(tokens):
    """The paper's text: the K best tokens, [CLS] only where its score is among them."""
    neck = build(candidates='all', test_mode='hard')
    assert neck.num_tokens == 3
    scores, selected = neck.token_scores(tokens), neck(tokens)
    for video in range(2):
        for frame in range(3):
            best = sorted(scores[video, frame].argsort(descending=True)[:3].tolist())
            torch.testing.assert_close(selected[video, frame], tokens[video, frame, best])
    assert 0 < (selected[:, :, 0] == tokens[:, :, 0]).all(dim=-1).sum() < 6  # seldom and often
    weights = neck.patch_weights(tokens)
    rest = (1 - weights.sum(dim=-1, keepdim=True)) * tokens[:, :, :1]
    torch.testing.assert_close(weights @ tokens[:, :, 1:] + rest, selected)


def test_straight_through_is_hard_with_the_gradient_of_the_weights(tokens):
    neck = build(train_mode='straight_through', test_mode='hard')
    hard = neck(tokens)
    assert torch.equal(neck.train()(tokens), hard)
    scores = torch.rand(4, 9, requires_grad=True)
    gradient = torch.rand(4, 3, 9)
    neck._choose(scores).backward(gradient)
    expected = gradient[:, 0] + gradient[:, 1] + gradient[:, 2]
    torch.testing.assert_close(scores.grad, expected)


def test_the_gradient_setting_changes_the_gradient_alone(tokens):
    noise, values, gradients = torch.randn(6, 50, 9), [], []
    for gradient in ('diagonal', 'full'):
        neck = build(gradient=gradient).train()
        neck._fresh_noise = lambda scores: noise
        values.append(neck(tokens))
        scores = torch.zeros(6, 9, requires_grad=True)
        neck._choose(scores).sum().backward()
        gradients.append(scores.grad.abs().max())
    assert torch.equal(*values)
    assert gradients[1] < 1e-4 < gradients[0]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(topk=10), 'topk=10 must be between 1 and the 9 candidates'),
        (dict(test_mode='soft'), "test_mode='soft' is unknown"),
        (dict(train_mode='soft'), "train_mode='soft' is unknown"),
        (dict(context='text'), "context='text' is unknown"),
        (dict(candidates='cls'), "candidates='cls' is unknown"),
        (dict(num_samples=0), 'num_samples=0 must be positive'),
        (dict(gradient='half'), "gradient='half' is unknown"),
        (dict(num_samples=1, gradient='full'), 'num_samples=1: the full gradient needs at least 2'),
    ],
)
def test_bad_settings(tokens, settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)(tokens)


def test_double_precision_is_kept(tokens):
    assert build().double()(tokens.double()).dtype == torch.float64
