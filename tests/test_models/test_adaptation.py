"""Frozen encoders and LoRA adapters: what is trained, what is saved, and what both compute."""

import copy

import pytest
import torch
from mmaction.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.model import ExponentialMovingAverage

from ts2net_mm.checkpoints import Checkpoint, fit_weights, load_weights
from ts2net_mm.checkpoints.settings import as_meta
from ts2net_mm.checkpoints.writing import convert_checkpoint
from ts2net_mm.models.layers.lora import is_lora

pytest.importorskip('peft')
LORA = dict(rank=2, alpha=6)
ENCODERS = ('backbone.', 'text_encoder.')


@pytest.fixture
def batch():
    torch.manual_seed(2)
    text = torch.tensor([[48, 1, 2, 49], [48, 3, 49, 0]])
    return dict(imgs=torch.rand(2, 3, 3, 32, 32), text=text)


def build(config, seed=0, **settings):
    """A model whose encoders have these settings; adapters are given weights as if trained."""
    config = copy.deepcopy(config)
    for part in ('backbone', 'text_encoder'):
        config[part].update(settings)
    torch.manual_seed(seed)
    model = MODELS.build(config)
    model.init_weights()
    for name, parameter in model.named_parameters():
        if '.lora_B.' in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def trained_in_encoders(model) -> set[str]:
    names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name.split('.')[0] for name in names} >= {'neck', 'head'}
    return {name for name in names if name.startswith(ENCODERS)}


def test_frozen_encoders_train_nothing(tiny_config):
    assert trained_in_encoders(build(tiny_config, frozen=True)) == set()
    with pytest.raises(ValueError, match='set one of them'):
        build(tiny_config, frozen=True, lora=LORA)


@pytest.mark.parametrize(
    ('lora', 'adapted'),
    [
        (LORA, {f'{n}.attn.{part}' for n in range(3) for part in ('qkv', 'proj')}),
        (
            dict(LORA, layers=(-1,), targets=('qkv', 'fc1', 'fc2')),
            {'2.attn.qkv', '2.ffn.layers.0.0', '2.ffn.layers.1'},
        ),
    ],
)
def test_gradients_reach_the_adapters_and_nothing_else_of_clip(tiny_config, batch, lora, adapted):
    model = build(tiny_config, lora=lora).train()
    names = trained_in_encoders(model)
    assert all(map(is_lora, names))
    layers = {name.split('.lora_')[0] for name in names}
    assert {n for n in layers if n.startswith('backbone')} == {
        f'backbone.layers.{n}' for n in adapted
    }
    sum(model.loss(batch).values()).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None and bool(parameter.grad.any())) == (
            name in names or not name.startswith(ENCODERS)
        ), name


@torch.no_grad()
def test_adapters_add_a_product_to_the_weight(tiny_config, batch):
    """The merged weights in a plain model compute the same."""
    adapted = build(tiny_config, lora=LORA).eval()
    stored = adapted.state_dict()
    plain = build(tiny_config).eval()
    weights = {key: value.clone() for key, value in stored.items() if not is_lora(key)}
    for key in plain.state_dict():
        if f'{key[:-7]}.lora_A.default.weight' in stored and key.endswith('.weight'):
            down, up = (stored[f'{key[:-7]}.lora_{side}.default.weight'] for side in 'AB')
            weights[key] += 3.0 * up @ down  # alpha / rank
    plain.load_state_dict(weights)
    for method, inputs in (('encode_video', batch['imgs']), ('encode_text', batch['text'])):
        expected = getattr(plain, method)(inputs)
        torch.testing.assert_close(getattr(adapted, method)(inputs), expected, rtol=1e-4, atol=1e-5)
    meta = as_meta(
        dict(
            tiny_config, **{part[:-1]: dict(tiny_config[part[:-1]], lora=LORA) for part in ENCODERS}
        )
    )
    content = dict(meta=meta, state_dict=stored)
    merged, config = convert_checkpoint(Checkpoint.from_content(content, 'lora.pth'), 'ts2net_mm')
    assert merged.keys() == weights.keys()
    for key, value in weights.items():
        torch.testing.assert_close(merged[key], value, msg=key)
    assert not any('lora' in config[part[:-1]] for part in ENCODERS)


def test_a_state_dict_has_the_keys_of_the_plain_model(tiny_config):
    model, plain = build(tiny_config, lora=LORA), build(tiny_config, seed=1)
    stored = model.state_dict()
    assert {key for key in stored if not is_lora(key)} == plain.state_dict().keys()
    other = build(tiny_config, seed=2, lora=LORA)
    other.load_state_dict(stored)
    assert all(torch.equal(value, stored[key]) for key, value in other.state_dict().items())
    # weights without adapters fit, and weights with some of them do not
    fitted = fit_weights(model, Checkpoint.from_content(plain.state_dict(), 'plain.pth'))
    assert fitted.keys() == plain.state_dict().keys()
    partly = {key: value for key, value in stored.items() if '.lora_B.' not in key}
    with pytest.raises(ValueError, match='missing: .*lora_B'):
        fit_weights(model, Checkpoint.from_content(partly, 'partly.pth'))
    with pytest.raises(ValueError, match='unexpected: .*lora_A'):
        fit_weights(plain, Checkpoint.from_content(stored, 'lora.pth'))


def test_averaged_weights_of_adapters(tiny_config):
    model = build(tiny_config, lora=LORA)
    average = ExponentialMovingAverage(model, momentum=0.5)
    average.update_parameters(model)
    for parameter in model.parameters():
        parameter.data += 1.0
    average.update_parameters(model)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(average.module.state_dict()[key], value - 0.5)


def test_adapters_learn_at_the_rate_of_new_modules(tiny_config):
    model = build(tiny_config, lora=LORA)
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(
            type='CLIPOptimWrapperConstructor',
            optim_wrapper_cfg=dict(optimizer=dict(type='BertAdam', lr=1.0)),
            paramwise_cfg=dict(clip_lr_mult=0.25, fp16_arithmetic=True),
        )
    )
    groups = constructor(model).optimizer.param_groups
    found = {id(p): group for group in groups for p in group['params']}
    for name, parameter in model.named_parameters():
        if is_lora(name):
            group = found[id(parameter)]
            assert (group['lr'], group['fp16_arithmetic']) == (1.0, False)


def test_adapters_of_another_scale_are_refused(tiny_config):
    """The tensors fit, and would compute something else."""
    model = build(tiny_config, lora=LORA)
    config = copy.deepcopy(tiny_config)
    for part in ('backbone', 'text_encoder'):
        config[part]['lora'] = LORA
    content = dict(state_dict=model.state_dict(), meta=as_meta(config))
    checkpoint = Checkpoint.from_content(content, 'epoch_1.pth')
    fit_weights(build(tiny_config, lora=dict(LORA, dropout=0.1)), checkpoint)
    other = build(tiny_config, lora=dict(LORA, alpha=12))
    with pytest.raises(ValueError, match=r'backbone lora scale=3.0, but the model has 6.0'):
        load_weights(other, checkpoint)


@pytest.mark.parametrize(
    ('lora', 'message'),
    [
        (dict(rank=0), 'rank=0 must be at least 1'),
        (dict(targets=('query',)), r"targets=\('query',\) must name some of"),
        (dict(layers=(3,)), r'layers \[3\] do not exist'),
        (dict(layers=()), 'layers is empty'),
        (dict(r=8), 'must have settings of rank, alpha'),
    ],
)
def test_wrong_settings(tiny_config, lora, message):
    with pytest.raises(ValueError, match=message):
        build(tiny_config, lora=lora)
