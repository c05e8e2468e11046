"""Every part against the released model."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from tiny import ROOT, reference

from ts2net_mm.checkpoints import config_from_state_dict, convert_state_dict
from ts2net_mm.checkpoints.formats import FORMATS
from ts2net_mm.models.layers import perturbed_topk
from ts2net_mm.models.layers.perturbed_topk import hard_topk

RELEASED = FORMATS['released']
TOLERANCE = 1e-4
GRADIENT_TOLERANCE = 1e-3


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Relative L2 distance."""
    assert found.shape == expected.shape
    return ((found - expected).norm() / expected.norm()).item()


@pytest.fixture
def model(released_model, expected, monkeypatch):
    """The released weights in training mode, with the reference's noise."""
    monkeypatch.setattr(perturbed_topk, 'draw_noise', lambda shape, **_: expected['noise'])
    return released_model.train()


@torch.no_grad()
def test_visual_tokens(model, expected):
    tokens = model.backbone(expected['video'], expected['frame_mask'].bool())
    assert distance(tokens, expected['visual_tokens']) < TOLERANCE


@torch.no_grad()
def test_token_scores(model, expected):
    scores = model.neck.token_scores(expected['visual_tokens'])
    assert distance(scores, expected['token_scores']) < TOLERANCE


@torch.no_grad()
def test_selected_tokens_from_equal_scores(model, expected, monkeypatch):
    monkeypatch.setattr(model.neck, 'token_scores', lambda *_: expected['token_scores'])
    selected = model.neck(expected['visual_tokens'])
    assert distance(selected, expected['selected_tokens']) < 1e-6


@torch.no_grad()
def test_selected_tokens_from_own_scores(model, expected):
    # A difference in the last bit of the scores changes 2 of the 24,000 noisy choices, whose margin
    # is below 1e-6; each choice moves a token by 1/500 of the difference of two patches.
    selected = model.neck(expected['visual_tokens'])
    assert distance(selected, expected['selected_tokens']) < 5e-4


@torch.no_grad()
def test_text_features(model, expected):
    text = model.encode_text(expected['input_ids'])
    assert distance(text, expected['text_features']) < TOLERANCE


@torch.no_grad()
def test_similarity(model, expected):
    mask = expected['frame_mask'].bool()
    text = model.encode_text(expected['input_ids'])
    video = model.encode_video(expected['video'], mask)
    assert distance(model.similarity(text, video, mask), expected['similarity']) < TOLERANCE


@torch.no_grad()
def test_hard_selection(released_model, expected):
    scores = released_model.neck.token_scores(expected['visual_tokens'])[..., 1:]
    chosen = hard_topk(scores.flatten(0, 1), 3)
    assert torch.equal(chosen, expected['hard_indices'].flatten(0, 1))


@torch.no_grad()
def test_similarity_of_hard_selection(released_model, expected):
    released_model.eval().neck.test_mode = 'hard'
    mask = expected['frame_mask'].bool()
    text = released_model.encode_text(expected['input_ids'])
    video = released_model.encode_video(expected['video'], mask)
    found = released_model.similarity(text, video, mask)
    assert distance(found, expected['similarity_hard']) < TOLERANCE


def test_loss_and_all_gradients(model, expected, expected_grad_norms):
    inputs = dict(
        imgs=expected['video'], text=expected['input_ids'], frame_mask=expected['frame_mask']
    )
    loss = sum(model.loss(inputs).values())
    assert loss.item() == pytest.approx(expected['loss'].item(), rel=TOLERANCE)

    loss.backward()
    parameters = dict(model.named_parameters())
    assert {RELEASED.target_key(key) for key in expected_grad_norms} == set(parameters)
    for key, norm in expected_grad_norms.items():
        found = parameters[RELEASED.target_key(key)].grad.norm().item()
        assert found == pytest.approx(norm, rel=GRADIENT_TOLERANCE), key
    for key in (key for key in expected if key.startswith('grad/')):
        renamed, _ = RELEASED.to_ours({key.removeprefix('grad/'): expected[key]})
        ((name, gradient),) = renamed.items()
        assert distance(parameters[name].grad, gradient) < GRADIENT_TOLERANCE, key


@torch.no_grad()
@pytest.mark.parametrize('switch', ['all', 'shift', 'temporal', 'similarity'])
def test_short_videos(released_weights, expected, monkeypatch, switch):
    """configs/features/released_masks.py has all three masks of the release."""
    monkeypatch.setattr(perturbed_topk, 'draw_noise', lambda shape, **_: expected['noise'])
    short_videos = reference('short_videos.npz')
    wanted = Config.fromfile(ROOT / 'configs/features/released_masks.py').model
    config = config_from_state_dict(released_weights)
    config['backbone']['mask_aware_shift'] = wanted.backbone.mask_aware_shift or switch == 'shift'
    if switch != 'temporal':
        config['head']['temporal']['mask_order'] = wanted.head.temporal.mask_order
    if switch != 'similarity':
        config['head']['similarity'] = dict(wanted.head.similarity)
    model = MODELS.build(config)
    model.load_state_dict(convert_state_dict(released_weights))
    model.train()
    mask = torch.arange(12) < short_videos['lengths'][:, None]
    video = model.encode_video(expected['video'] * mask[:, :, None, None, None], mask)
    scores = model.similarity(model.encode_text(expected['input_ids']), video, mask)
    difference = (scores - short_videos['similarity']).abs().max()
    # and each of the three has an effect
    assert difference < 1e-3 if switch == 'all' else difference > 1e-3
