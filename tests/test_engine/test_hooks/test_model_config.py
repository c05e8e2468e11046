"""Checkpoints tell their model."""

from types import SimpleNamespace

import pytest
from mmengine.config import Config, ConfigDict

from ts2net_mm.checkpoints import Checkpoint, config_of
from ts2net_mm.engine import ModelConfigHook


def stored(model) -> dict:
    runner = SimpleNamespace(cfg=Config(dict(model=model)) if isinstance(model, dict) else model)
    checkpoint = dict(meta=dict(epoch=1))
    ModelConfigHook().before_save_checkpoint(runner, checkpoint)
    return checkpoint['meta']


def test_settings_that_the_shapes_do_not_show(released_weights):
    model = dict(
        type='TS2Net',
        init_cfg=dict(type='CLIPPretrained', checkpoint='ViT-B/32'),
        backbone=dict(type='TokenShiftViT', shift_layers=(3, 4), frozen_stages=0),
        neck=dict(type='TokenSelection', topk=5),
    )
    content = dict(state_dict=released_weights, meta=stored(model))
    config = config_of(Checkpoint.of(content, 'epoch_1.pth'))
    assert config['backbone']['shift_layers'] == [3, 4]
    assert config['backbone']['embed_dims'] == 64
    assert config['neck'] == dict(type='TokenSelection', embed_dims=64, topk=5)
    assert 'init_cfg' not in config and 'frozen_stages' not in config['backbone']


@pytest.mark.parametrize(
    'model',
    [
        dict(type='TS2Net', neck=dict(type='MyNeck')),
        SimpleNamespace(get=lambda key: object()),
        ConfigDict(),
    ],
)
def test_other_models_are_left_out(model):
    assert stored(model) == dict(epoch=1)
