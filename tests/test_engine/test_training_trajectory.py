"""Twelve steps of our training loop go the way of the released one."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ts2net_mm.checkpoints.released import rename_key, to_our_layout
from ts2net_mm.engine import CLIPOptimWrapperConstructor, LogitScaleClampHook, WarmupCosineLR
from ts2net_mm.models.layers import perturbed_topk

DATA = Path(__file__).parents[1] / 'data'
REFERENCE = json.loads((DATA / 'training_trajectory.json').read_text())
# From here on last bits count: weights that differ by 1e-7 give losses that differ by up to 3%,
# because noisy choices of tokens turn over.
CALM_STEPS = 7


@pytest.fixture(scope='module')
def batch() -> dict[str, torch.Tensor]:
    with np.load(DATA / 'tiny_expected.npz') as arrays:
        return {
            key: torch.from_numpy(arrays[key])
            for key in ('input_ids', 'video', 'frame_mask', 'noise')
        }


def build_optim_wrapper(model):
    optimizer = dict(
        type='BertAdam',
        lr=REFERENCE['lr'],
        betas=tuple(REFERENCE['betas']),
        eps=REFERENCE['eps'],
        weight_decay=REFERENCE['weight_decay'],
        max_grad_norm=REFERENCE['per_tensor_clip'],
    )
    cfg = dict(
        type='OptimWrapper',
        optimizer=optimizer,
        clip_grad=dict(max_norm=REFERENCE['global_clip']),
    )
    paramwise = dict(clip_lr_mult=REFERENCE['clip_lr'] / REFERENCE['lr'])
    return CLIPOptimWrapperConstructor(cfg, paramwise)(model)


def train(model, batch) -> dict[str, list[float]]:
    wrapper = build_optim_wrapper(model)
    scheduler = WarmupCosineLR(wrapper, warmup_ratio=0.1, end=REFERENCE['total_steps'])
    clamp = LogitScaleClampHook()
    inputs = dict(
        imgs=batch['video'].float(),
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


def test_frozen_parameters(model):
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {rename_key(key) for key in REFERENCE['frozen']}


@pytest.mark.slow
def test_losses_and_movements(model, released_weights, batch, monkeypatch):
    monkeypatch.setattr(perturbed_topk, 'draw_noise', lambda shape, **_: batch['noise'].float())
    seen = train(model.train(), batch)
    early, late = slice(CALM_STEPS), slice(CALM_STEPS, None)
    assert seen['losses'][early] == pytest.approx(REFERENCE['losses'][early], rel=1e-3)
    assert seen['losses'][late] == pytest.approx(REFERENCE['losses'][late], rel=0.05)
    assert seen['logit_scale'] == pytest.approx(REFERENCE['logit_scale'], abs=1e-4)

    trained = dict(model.named_parameters())
    assert {rename_key(key) for key in REFERENCE['movement_l2']} == set(trained)
    for key, distance in REFERENCE['movement_l2'].items():
        name = rename_key(key)
        start = to_our_layout(name, released_weights[key])
        moved = (trained[name].detach() - start).norm().item()
        assert moved == pytest.approx(distance, rel=0.02, abs=1e-6), key
