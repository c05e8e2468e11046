"""Twelve steps of our training loop against the released one."""

import json
from types import SimpleNamespace

import pytest
import torch
from mmaction.registry import HOOKS, PARAM_SCHEDULERS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from tiny import DATA, ROOT, reference

from ts2net_mm.checkpoints.formats import FORMATS
from ts2net_mm.models.layers import perturbed_topk

RELEASED = FORMATS['released']
REFERENCE = json.loads((DATA / 'training_trajectory.json').read_text())


@pytest.fixture(scope='module')
def batch() -> dict[str, torch.Tensor]:
    return reference('tiny_expected.npz')


@pytest.fixture(scope='module')
def recipe() -> Config:
    """The released recipe at the rates of the reference, which was computed in fp32."""
    cfg = Config.fromfile(ROOT / 'configs' / 'ts2net_msrvtt.py')
    assert cfg.optim_wrapper.paramwise_cfg.fp16_arithmetic
    options = {
        'optim_wrapper.optimizer.lr': REFERENCE['lr'],
        'optim_wrapper.paramwise_cfg.clip_lr_mult': REFERENCE['clip_lr'] / REFERENCE['lr'],
        'optim_wrapper.paramwise_cfg.fp16_arithmetic': False,
    }
    cfg.merge_from_dict(options)
    return cfg


def test_the_config_has_the_settings_of_the_reference(recipe):
    optimizer = recipe.optim_wrapper.optimizer
    assert optimizer.type == 'BertAdam'
    assert list(optimizer.betas) == REFERENCE['betas']
    assert optimizer.eps == REFERENCE['eps']
    assert optimizer.weight_decay == REFERENCE['weight_decay']
    assert optimizer.max_grad_norm == REFERENCE['per_tensor_clip']
    assert recipe.optim_wrapper.clip_grad == dict(max_norm=REFERENCE['global_clip'])


def test_frozen_parameters(model, recipe):
    assert recipe.model.backbone.frozen_stages == recipe.model.text_encoder.frozen_stages == 0
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {RELEASED.target_key(key) for key in REFERENCE['frozen']}


def train(model, batch, recipe, dtype) -> dict[str, list[float]]:
    """Run the loop with the parts that the Runner builds from the config."""
    model = model.to(dtype).train()
    wrapper = build_optim_wrapper(model, recipe.optim_wrapper)
    schedule = dict(recipe.param_scheduler, optimizer=wrapper, end=REFERENCE['total_steps'])
    scheduler = PARAM_SCHEDULERS.build(schedule)
    (clamp,) = (hook for hook in recipe.custom_hooks if hook.type == 'LogitScaleClampHook')
    clamp = HOOKS.build(clamp)
    inputs = dict(
        imgs=batch['video'].to(dtype),
        text=batch['input_ids'],
        frame_mask=batch['frame_mask'].bool(),
    )
    seen: dict[str, list[float]] = dict(losses=[], logit_scale=[])
    for _ in range(REFERENCE['steps']):
        loss = sum(model.loss(inputs).values())
        wrapper.update_params(loss)
        clamp.after_train_iter(SimpleNamespace(model=model))
        scheduler.step()
        seen['losses'].append(loss.item())
        seen['logit_scale'].append(model.head.logit_scale.item())
    return seen


def check_movements(model, released_weights, **tolerance) -> None:
    """Compare how far every tensor moved."""
    trained = dict(model.named_parameters())
    assert {RELEASED.target_key(key) for key in REFERENCE['movement_l2']} == set(trained)
    for key, distance in REFERENCE['movement_l2'].items():
        ((name, start),) = RELEASED.to_ours({key: released_weights[key]})[0].items()
        moved = (trained[name].detach() - start).norm().item()
        assert moved == pytest.approx(distance, **tolerance), key


@pytest.mark.slow
def test_losses_and_movements(model, released_weights, batch, recipe, monkeypatch):
    """In fp64, where rounding does not decide between two patches with almost equal scores.

    The reference, in fp32, decides as exact arithmetic does in all cases that matter.
    """
    noise = batch['noise'].double()
    monkeypatch.setattr(perturbed_topk, 'draw_noise', lambda shape, **_: noise)
    seen = train(model, batch, recipe, torch.float64)
    assert seen['losses'] == pytest.approx(REFERENCE['losses'], rel=0.01)
    assert seen['logit_scale'] == pytest.approx(REFERENCE['logit_scale'], abs=1e-5)
    check_movements(model, released_weights, rel=0.01, abs=1e-6)


@pytest.mark.slow
def test_fp32_differs_only_by_the_effect_of_one_choice(
    model, released_weights, batch, recipe, monkeypatch
):
    """A noisy choice in the first batch has a margin of 1e-7, which fp32 may decide either way.

    docs/evidence/recipe.md has the losses of the three cases that were seen.
    """
    noise = batch['noise'].float()
    monkeypatch.setattr(perturbed_topk, 'draw_noise', lambda shape, **_: noise)
    seen = train(model, batch, recipe, torch.float32)
    assert seen['losses'][:7] == pytest.approx(REFERENCE['losses'][:7], rel=1e-3)
    assert seen['losses'][7:] == pytest.approx(REFERENCE['losses'][7:], rel=0.05)
    assert seen['logit_scale'] == pytest.approx(REFERENCE['logit_scale'], abs=1e-4)
    check_movements(model, released_weights, rel=0.02, abs=1e-6)
