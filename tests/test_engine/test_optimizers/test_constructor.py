import re

import pytest
import torch
from mmaction.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import nn

from ts2net_mm.checkpoints.released import IGNORED_KEYS, rename_key
from ts2net_mm.engine import BertAdam, CLIPOptimWrapperConstructor

BERT_ADAM = dict(type='BertAdam', lr=1e-4, weight_decay=0.2)
# the release's halved tensors: CLIP's convolution, attention, MLP and projection weights and biases
RELEASED_FP16 = re.compile(
    r'clip\..*(conv1\.weight|in_proj_(weight|bias)|(out_proj|c_fc|c_proj)\.(weight|bias)|'
    r'visual\.proj|text_projection)$'
)


def build(model: nn.Module, optimizer: dict = BERT_ADAM, **paramwise) -> OptimWrapper:
    cfg = dict(type='OptimWrapper', optimizer=dict(optimizer), clip_grad=dict(max_norm=1.0))
    return CLIPOptimWrapperConstructor(cfg, paramwise)(model)


def settings_by_name(model: nn.Module, wrapper: OptimWrapper) -> dict[str, dict]:
    """Each trained parameter's group."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {}
    for group in wrapper.optimizer.param_groups:
        for parameter in group['params']:
            assert names[parameter] not in found
            found[names[parameter]] = group
    return found


@pytest.mark.parametrize('fp16_arithmetic', [False, True])
def test_groups_of_the_release(model, released_weights, fp16_arithmetic):
    """What the release decides from its own names and modules, for each of its tensors."""
    groups = settings_by_name(model, build(model, fp16_arithmetic=fp16_arithmetic))
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert len(frozen) == 7
    checked = set()
    for key in released_weights:
        name = rename_key(key)
        if key in IGNORED_KEYS or name in frozen:
            assert name not in groups
            continue
        group = groups[name]
        assert group['lr'] == pytest.approx(1e-7 if key.startswith('clip.') else 1e-4), key
        assert group['weight_decay'] == (0.0 if 'bias' in key else 0.2), key
        halved = fp16_arithmetic and RELEASED_FP16.match(key) is not None
        assert group['fp16_arithmetic'] == halved, key
        checked.add(name)
    assert checked == set(groups)


def test_wrapper_and_its_settings_are_kept(model):
    wrapper = build(model)
    assert type(wrapper) is OptimWrapper
    assert isinstance(wrapper.optimizer, BertAdam)
    assert wrapper.clip_grad_kwargs == dict(max_norm=1.0)
    assert len(wrapper.optimizer.param_groups) == 4


def test_config_is_not_changed(model):
    cfg = dict(type='OptimWrapper', optimizer=dict(BERT_ADAM))
    paramwise = dict(clip_lr_mult=0.1, fp16_arithmetic=True)
    CLIPOptimWrapperConstructor(cfg, paramwise)(model)
    assert cfg == dict(type='OptimWrapper', optimizer=BERT_ADAM)
    assert paramwise == dict(clip_lr_mult=0.1, fp16_arithmetic=True)


def test_built_as_the_runner_does(model):
    cfg = dict(
        type='OptimWrapper',
        constructor='CLIPOptimWrapperConstructor',
        optimizer=dict(BERT_ADAM),
        paramwise_cfg=dict(clip_lr_mult=0.01),
    )
    groups = settings_by_name(model, build_optim_wrapper(model, cfg))
    assert groups['head.logit_scale']['lr'] == pytest.approx(1e-6)
    assert 'CLIPOptimWrapperConstructor' in OPTIM_WRAPPER_CONSTRUCTORS


def test_prefixes_are_the_callers(model):
    groups = settings_by_name(model, build(model, clip_prefixes=['text_encoder.'], clip_lr_mult=0))
    for name, group in groups.items():
        assert group['lr'] == (0 if name.startswith('text_encoder.') else 1e-4)


def test_other_optimisers_work_without_fp16(model):
    wrapper = build(model, dict(type='AdamW', lr=1e-3))
    assert isinstance(wrapper.optimizer, torch.optim.AdamW)
    assert all('fp16_arithmetic' not in group for group in wrapper.optimizer.param_groups)
    with pytest.raises(ValueError, match='asks for fp16_arithmetic, which AdamW lacks'):
        build(model, dict(type='AdamW', lr=1e-3), fp16_arithmetic=True)


def test_wrapped_model(model):
    class MMWrapper(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

    from mmengine.registry import MODEL_WRAPPERS

    MODEL_WRAPPERS.register_module(name='TestWrapper', module=MMWrapper, force=True)
    try:
        groups = settings_by_name(model, build(MMWrapper(model)))
    finally:
        MODEL_WRAPPERS.module_dict.pop('TestWrapper')
    assert groups['backbone.ln1.weight']['lr'] == pytest.approx(1e-7)


def test_unknown_setting():
    with pytest.raises(ValueError, match=r"unknown keys \['clip_lr', 'decay'\], known are clip_lr"):
        CLIPOptimWrapperConstructor(dict(optimizer=BERT_ADAM), dict(decay=1, clip_lr=1))


def test_the_groups_are_logged(model, log_records):
    build(model, fp16_arithmetic=True)
    messages = [record.getMessage() for record in log_records]
    (table,) = [message for message in messages if message.startswith('parameters')]
    header, *rows = table.splitlines()
    assert header.split() == ['parameters', 'lr', 'decay', 'arithmetic', 'tensors', 'weights']
    trained = [p for p in model.parameters() if p.requires_grad]
    assert sum(int(row.split()[-2]) for row in rows) == len(trained)
    weights = sum(int(row.split()[-1].replace(',', '')) for row in rows)
    assert weights == sum(p.numel() for p in trained)
    described = {tuple(re.split(r'\s{2,}', row)[:4]) for row in rows}
    assert described == {
        ('CLIP', '1e-07', '0.2', 'fp16'),
        ('CLIP', '1e-07', '0', 'fp16'),
        ('CLIP', '1e-07', '0.2', 'as stored'),
        ('CLIP', '1e-07', '0', 'as stored'),
        ('new', '0.0001', '0.2', 'as stored'),
        ('new', '0.0001', '0', 'as stored'),
    }
