import re

import pytest
import torch
from mmaction.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import nn

from ts2net_mm.checkpoints.formats import FORMATS
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
        name = FORMATS['released'].target_key(key)
        if name in frozen:
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


@pytest.mark.parametrize('prefixes', ['text_encoder.', ['text_encoder.']])
def test_prefixes_are_the_callers(model, prefixes):
    groups = settings_by_name(model, build(model, clip_prefixes=prefixes, clip_lr_mult=0))
    for name, group in groups.items():
        assert group['lr'] == (0 if name.startswith('text_encoder.') else 1e-4)


def test_a_model_without_clip_is_new_throughout(log_records):
    stand_in = nn.Conv2d(1, 1, 1)
    groups = settings_by_name(stand_in, build(stand_in, clip_lr_mult=0))
    assert {group['lr'] for group in groups.values()} == {1e-4}
    assert any('Conv2d has no parameter of backbone.' in r.getMessage() for r in log_records)


def test_a_prefix_of_no_parameter(model):
    with pytest.raises(ValueError, match=r"no parameter name begins with 'visual\.'"):
        build(model, clip_prefixes=('backbone.', 'visual.'))


class OtherParts(nn.Module):
    """Parts that TS2-Net does not have, but a user's model may."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.ModuleDict(
            dict(
                attention=nn.MultiheadAttention(4, 2, bias=True),
                conv1d=nn.Conv1d(4, 4, 1),
                norm=nn.LayerNorm(4),
                embedding=nn.Embedding(3, 4),
            )
        )
        self.lstm = nn.LSTM(4, 4)
        self.scale = nn.Parameter(torch.ones(()))


def test_attention_and_recurrent_parts():
    model = OtherParts()
    groups = settings_by_name(model, build(model, clip_prefixes='backbone.', fp16_arithmetic=True))
    assert set(groups) == {name for name, _ in model.named_parameters()}
    in_fp16 = {name for name, group in groups.items() if group['fp16_arithmetic']}
    assert in_fp16 == {
        f'backbone.{name}{kind}'
        for name in ('attention.in_proj_', 'attention.out_proj.', 'conv1d.')
        for kind in ('weight', 'bias')
    }
    undecayed = {name for name, group in groups.items() if not group['weight_decay']}
    assert undecayed == {name for name in groups if 'bias' in name}
    assert {'lstm.bias_ih_l0', 'backbone.attention.in_proj_bias'} <= undecayed


def test_decay_of_matrices_only(model):
    groups = settings_by_name(model, build(model, decay_matrices_only=True))
    matrices = {
        f'{name}.weight'
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }
    assert {name for name, group in groups.items() if group['weight_decay']} == (
        matrices - {'backbone.patch_embed.projection.weight'}  # frozen
    )
    assert not groups['head.temporal.pos_embed']['weight_decay']


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
    with pytest.raises(ValueError, match=r"unknown keys \['clip_lr', 'decay'\]; known are clip_lr"):
        CLIPOptimWrapperConstructor(dict(optimizer=BERT_ADAM), dict(decay=1, clip_lr=1))


def test_optimizer_without_a_rate():
    with pytest.raises(ValueError, match=r"\{'type': 'BertAdam'\} has no lr"):
        CLIPOptimWrapperConstructor(dict(optimizer=dict(type='BertAdam')))


def logged_rows(log_records) -> dict[tuple[str, ...], tuple[int, int]]:
    """Tensors and weights of each row of the logged table."""
    messages = [record.getMessage() for record in log_records]
    (table,) = [message for message in messages if message.startswith('parameters')]
    header, *rows = table.splitlines()
    assert header.split() == ['parameters', 'lr', 'decay', 'arithmetic', 'tensors', 'weights']
    cells = [re.split(r'\s{2,}', row) for row in rows]
    assert all(len(row) == 6 for row in cells)
    return {tuple(row[:4]): (int(row[4]), int(row[5].replace(',', ''))) for row in cells}


def test_the_groups_are_logged(model, log_records):
    build(model, fp16_arithmetic=True)
    rows = logged_rows(log_records)
    frozen = [p for p in model.parameters() if not p.requires_grad]
    assert rows.pop(('frozen', '-', '-', '-')) == (7, sum(p.numel() for p in frozen))
    trained = [p for p in model.parameters() if p.requires_grad]
    assert sum(tensors for tensors, _ in rows.values()) == len(trained)
    assert sum(weights for _, weights in rows.values()) == sum(p.numel() for p in trained)
    assert set(rows) == {
        ('CLIP', '1e-07', '0.2', 'fp16'),
        ('CLIP', '1e-07', '0', 'fp16'),
        ('CLIP', '1e-07', '0.2', 'as stored'),
        ('CLIP', '1e-07', '0', 'as stored'),
        ('new', '0.0001', '0.2', 'as stored'),
        ('new', '0.0001', '0', 'as stored'),
    }


def test_the_log_shows_the_optimisers_own_decay(log_records):
    build(OtherParts(), dict(type='AdamW', lr=1e-3), clip_prefixes='backbone.')
    assert {row[2] for row in logged_rows(log_records)} == {'0.01', '0'}  # AdamW's default
    assert not any(row[0] == 'frozen' for row in logged_rows(log_records))
