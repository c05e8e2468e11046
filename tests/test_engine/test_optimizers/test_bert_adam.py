import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import OPTIMIZERS
from mmengine.optim import OptimWrapper
from torch import nn

from ts2net_mm.engine import BertAdam

REFERENCE = Path(__file__).parents[2] / 'data' / 'bertadam.npz'
CHECKED_STEPS = (1, 2, 5, 10, 20, 40)


@pytest.fixture(scope='module')
def reference() -> dict[str, torch.Tensor]:
    with np.load(REFERENCE) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def make_optimizer(w: nn.Parameter, b: nn.Parameter, *, fp16_arithmetic: bool) -> BertAdam:
    groups = [dict(params=[w], base=1e-7), dict(params=[b], base=1e-4, weight_decay=0.0)]
    return BertAdam(groups, lr=1e-4, fp16_arithmetic=fp16_arithmetic)


def save_and_load(optimizer: BertAdam, fresh: BertAdam) -> BertAdam:
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file))
    return fresh


def check_released_steps(reference, kind: str, dtype: torch.dtype, resumed_at: int | None) -> None:
    fp16 = kind == 'fp16'
    w, b = (nn.Parameter(reference[f'{kind}/{name}0'].to(dtype, copy=True)) for name in 'wb')
    optimizer = make_optimizer(w, b, fp16_arithmetic=fp16)
    for step in range(40):
        if step == resumed_at:
            w, b = (nn.Parameter(parameter.detach().clone()) for parameter in (w, b))
            optimizer = save_and_load(optimizer, make_optimizer(w, b, fp16_arithmetic=fp16))
        done = step / 40
        factor = done / 0.1 if done < 0.1 else 0.5 * (1 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group['lr'] = group['base'] * factor
        w.grad = reference[f'{kind}/grad_w'][step].to(dtype)
        b.grad = reference[f'{kind}/grad_b'][step].to(dtype)
        optimizer.step()
        if step + 1 in CHECKED_STEPS:
            for name, parameter in (('w', w), ('b', b)):
                expected = reference[f'{kind}/{name}{step + 1}']
                assert torch.equal(parameter.data, expected.to(dtype)), (name, step + 1)


@pytest.mark.parametrize('resumed_at', [None, 1, 15], ids='resumed_at={}'.format)
@pytest.mark.parametrize(
    ('kind', 'dtype'),
    [('fp32', torch.float32), ('fp16', torch.float16), ('fp16', torch.float32)],
)
def test_released_steps_to_the_bit(reference, kind, dtype, resumed_at):
    check_released_steps(reference, kind, dtype, resumed_at)


def test_the_reference_tells_the_precisions_apart(reference):
    assert all(f'{kind}/w{n}' in reference for kind in ('fp32', 'fp16') for n in CHECKED_STEPS)
    moved = {
        kind: (reference[f'{kind}/w40'].float() - reference[f'{kind}/w0'].float()).norm()
        for kind in ('fp32', 'fp16')
    }
    assert moved['fp32'] > 0
    assert not torch.isclose(moved['fp32'], moved['fp16'], rtol=0.1)


def test_moments_keep_their_precision_through_a_checkpoint():
    parameters = [nn.Parameter(torch.ones(3)) for _ in range(2)]

    def make() -> BertAdam:
        first, second = parameters
        groups = [dict(params=[first], fp16_arithmetic=True), dict(params=[second])]
        return BertAdam(groups, lr=0.1)

    optimizer = make()
    for parameter in parameters:
        parameter.grad = torch.full((3,), 1 / 3)
    optimizer.step()
    loaded = save_and_load(optimizer, make())
    for parameter, dtype in zip(parameters, (torch.float16, torch.float32), strict=True):
        assert set(loaded.state[parameter]) == {'exp_avg', 'exp_avg_sq'}
        for key, moment in loaded.state[parameter].items():
            assert moment.dtype == dtype
            assert torch.equal(moment, optimizer.state[parameter][key])
            assert moment is not optimizer.state[parameter][key]


def test_a_state_without_steps_can_be_loaded():
    optimizer = BertAdam([nn.Parameter(torch.ones(1))], lr=0.1)
    fresh = save_and_load(optimizer, BertAdam([nn.Parameter(torch.ones(1))], lr=0.3))
    assert fresh.param_groups[0]['lr'] == 0.1
    assert not fresh.state


def test_one_step_by_hand():
    """No bias correction: the first moment is a tenth of the gradient, the second a fiftieth."""
    parameter = nn.Parameter(torch.tensor([2.0, -1.0]))
    parameter.grad = torch.tensor([0.3, 0.4])
    BertAdam([parameter], lr=0.5, weight_decay=0.2).step()
    for value, start, gradient in zip(parameter.tolist(), (2.0, -1.0), (0.3, 0.4), strict=True):
        update = 0.1 * gradient / (math.sqrt(0.02) * gradient + 1e-6) + 0.2 * start
        assert value == pytest.approx(start - 0.5 * update, rel=1e-5)


def test_each_tensor_is_clipped_for_itself():
    def step(gradients, max_grad_norm):
        parameters = [nn.Parameter(torch.zeros(2)) for _ in gradients]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer = BertAdam(parameters, lr=1.0, weight_decay=0.0, max_grad_norm=max_grad_norm)
        optimizer.step()
        assert [parameter.grad.tolist() for parameter in parameters] == gradients
        return [optimizer.state[parameter]['exp_avg'] / 0.1 for parameter in parameters]

    large, small = step([[30.0, 40.0], [0.5, 0.0]], max_grad_norm=1.0)
    torch.testing.assert_close(large, torch.tensor([0.6, 0.8]))
    torch.testing.assert_close(small, torch.tensor([0.5, 0.0]))
    (unclipped,) = step([[30.0, 40.0]], max_grad_norm=0)
    torch.testing.assert_close(unclipped, torch.tensor([30.0, 40.0]))


def test_parameters_without_gradient_stay():
    parameter = nn.Parameter(torch.ones(2))
    optimizer = BertAdam([parameter], lr=0.5)
    optimizer.step()
    assert torch.equal(parameter.data, torch.ones(2))
    assert not optimizer.state


def test_closure():
    parameter = nn.Parameter(torch.tensor(3.0))
    optimizer = BertAdam([parameter], lr=0.1, weight_decay=0.0)

    def closure():
        loss = parameter**2
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9
    assert parameter.item() < 3


def test_registry_and_wrapper():
    parameter = nn.Parameter(torch.tensor(3.0))
    optimizer = OPTIMIZERS.build(dict(type='BertAdam', params=[parameter], lr=0.1))
    wrapper = OptimWrapper(optimizer, clip_grad=dict(max_norm=1.0))
    wrapper.update_params(parameter**2)
    assert parameter.item() < 3


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('lr', -1e-4),
        ('betas', (1.0, 0.98)),
        ('betas', (0.9, -0.1)),
        ('eps', -1.0),
        ('weight_decay', -0.2),
        ('max_grad_norm', -1.0),
    ],
)
def test_settings_out_of_range(name, value):
    settings = dict(lr=0.1) | {name: value}
    with pytest.raises(ValueError, match=rf'^{name}=.* is out of range'):
        BertAdam([nn.Parameter(torch.ones(1))], **settings)
