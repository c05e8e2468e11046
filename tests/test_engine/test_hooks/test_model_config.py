"""Checkpoints tell their model."""

from types import SimpleNamespace

import pytest
from mmengine.config import Config, ConfigDict
from torch import nn

from ts2net_mm.checkpoints import Checkpoint, config_of
from ts2net_mm.engine import ModelConfigHook
from ts2net_mm.models import TokenShiftViT, TS2Net


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
    config = config_of(Checkpoint.from_content(content, 'epoch_1.pth'))
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


@pytest.mark.parametrize('kind', ['mmaction.TS2Net', 'ts2net_mm.models.ts2net.TS2Net', TS2Net])
def test_every_way_to_write_a_type_is_stored_alike(kind):
    written = dict(type=kind, backbone=dict(type=TokenShiftViT, act_cfg=dict(type=nn.GELU)))
    plain = dict(type='TS2Net', backbone=dict(type='TokenShiftViT', act_cfg=dict(type='GELU')))
    assert stored(written) == stored(dict(plain, _scope_='ts2net_mm')) == stored(plain)


def test_what_cannot_be_kept_is_told_once(log_records):
    class TokenShiftViT:
        """Somebody else's."""

    hook = ModelConfigHook()
    model = dict(type='TS2Net', backbone=dict(type=TokenShiftViT), neck=dict(type='MyNeck'))
    for _ in range(2):
        checkpoint = dict(meta=dict(epoch=1))
        hook.before_save_checkpoint(SimpleNamespace(cfg=Config(dict(model=model))), checkpoint)
        assert checkpoint['meta'] == dict(epoch=1)
    (told,) = (record.getMessage() for record in log_records if record.levelname == 'WARNING')
    assert 'store no model config, because the run has TokenShiftViT, MyNeck of other' in told
