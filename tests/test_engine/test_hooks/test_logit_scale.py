import math
from types import SimpleNamespace

import pytest
import torch
from mmaction.registry import HOOKS
from torch import nn

from ts2net_mm.engine import LogitScaleClampHook


class Head(nn.Module):
    def __init__(self, logit_scale: float) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(logit_scale))


class Model(nn.Module):
    def __init__(self, logit_scale: float) -> None:
        super().__init__()
        self.head = Head(logit_scale)


def clamped(log_scale: float, **settings) -> float:
    model = Model(log_scale)
    hook = HOOKS.build(dict(type='LogitScaleClampHook', **settings))
    assert isinstance(hook, LogitScaleClampHook)
    hook.after_train_iter(SimpleNamespace(model=model), batch_idx=0)
    assert model.head.logit_scale.requires_grad
    return model.head.logit_scale.item()


def test_large_scales_are_limited_to_100():
    assert clamped(7.0) == pytest.approx(math.log(100))
    assert math.exp(clamped(7.0)) == pytest.approx(100)


@pytest.mark.parametrize('log_scale', [4.6, 2.6, -3.0])
def test_other_scales_stay(log_scale):
    assert clamped(log_scale) == pytest.approx(log_scale, rel=1e-7)


def test_limit_is_the_factor_itself():
    assert clamped(5.0, max_scale=20) == pytest.approx(math.log(20))


def test_wrapped_model():
    from mmengine.registry import MODEL_WRAPPERS

    class Wrapper(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

    MODEL_WRAPPERS.register_module(name='TestWrapper', module=Wrapper, force=True)
    try:
        model = Model(7.0)
        LogitScaleClampHook().after_train_iter(SimpleNamespace(model=Wrapper(model)))
    finally:
        MODEL_WRAPPERS.module_dict.pop('TestWrapper')
    assert model.head.logit_scale.item() == pytest.approx(math.log(100))


def test_model_without_a_scale():
    LogitScaleClampHook().after_train_iter(SimpleNamespace(model=nn.Linear(2, 2)))


@pytest.mark.parametrize('max_scale', [0, -1.0])
def test_bad_limit(max_scale):
    with pytest.raises(ValueError, match=f'max_scale={max_scale} must be positive'):
        LogitScaleClampHook(max_scale=max_scale)
