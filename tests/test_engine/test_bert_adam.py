"""BertAdam against the released optimiser, and against a loop over the tensors."""

import io
import math

import pytest
import torch
from tiny import reference
from torch import nn

from ts2net_mm.engine import BertAdam, bert_adam

CHECKED_STEPS = (1, 2, 5, 10, 20, 40)


@pytest.fixture(scope='module')
def released() -> dict[str, torch.Tensor]:
    return reference('bertadam.npz')


def make_optimizer(w: nn.Parameter, b: nn.Parameter, *, fp16_arithmetic: bool) -> BertAdam:
    groups = [dict(params=[w], base=1e-7), dict(params=[b], base=1e-4, weight_decay=0.0)]
    return BertAdam(groups, lr=1e-4, fp16_arithmetic=fp16_arithmetic)


def save_and_load(optimizer: BertAdam, fresh: BertAdam) -> BertAdam:
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file))
    return fresh


def check_released_steps(released, kind: str, dtype: torch.dtype, resumed_at: int | None) -> None:
    fp16 = kind == 'fp16'
    w, b = (nn.Parameter(released[f'{kind}/{name}0'].to(dtype, copy=True)) for name in 'wb')
    optimizer = make_optimizer(w, b, fp16_arithmetic=fp16)
    for step in range(40):
        if step == resumed_at:
            w, b = (nn.Parameter(parameter.detach().clone()) for parameter in (w, b))
            optimizer = save_and_load(optimizer, make_optimizer(w, b, fp16_arithmetic=fp16))
        done = step / 40
        factor = done / 0.1 if done < 0.1 else 0.5 * (1 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group['lr'] = group['base'] * factor
        w.grad = released[f'{kind}/grad_w'][step].to(dtype)
        b.grad = released[f'{kind}/grad_b'][step].to(dtype)
        optimizer.step()
        if step + 1 in CHECKED_STEPS:
            for name, parameter in (('w', w), ('b', b)):
                expected = released[f'{kind}/{name}{step + 1}']
                assert torch.equal(parameter.data, expected.to(dtype)), (name, step + 1)


@pytest.mark.parametrize('resumed_at', [None, 1, 15], ids='resumed_at={}'.format)
@pytest.mark.parametrize(
    ('kind', 'dtype'),
    [('fp32', torch.float32), ('fp16', torch.float16), ('fp16', torch.float32)],
)
def test_released_steps_bit_exactly(released, kind, dtype, resumed_at):
    check_released_steps(released, kind, dtype, resumed_at)


def test_moments_keep_their_precision_in_a_checkpoint():
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


def test_each_tensor_is_clipped_separately():
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


def test_closure_and_a_parameter_without_gradient():
    parameter, unused = nn.Parameter(torch.tensor(3.0)), nn.Parameter(torch.tensor(3.0))
    optimizer = BertAdam([parameter, unused], lr=0.1)
    loss = optimizer.step(lambda: (parameter**2).backward() or parameter**2)
    assert loss.item() == 9
    assert parameter.item() < unused.item() == 3


def step_alone(parameter, moments, *, dtype, lr, betas, eps, weight_decay, max_grad_norm) -> None:
    """The released update of one tensor, operation by operation."""
    gradient, value = parameter.grad.to(dtype), parameter.to(dtype)
    if max_grad_norm:
        factor = max_grad_norm / (torch.linalg.vector_norm(gradient) + 1e-6)
        gradient = gradient * factor.clamp(max=1.0)
    first, second = moments
    first.mul_(betas[0]).add_(gradient, alpha=1 - betas[0])
    second.mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
    update = first / (second.sqrt() + eps)
    if weight_decay:
        update = update + weight_decay * value
    parameter.copy_(value - lr * update)


def draw_tensors(generator: torch.Generator, scale: float) -> list[torch.Tensor]:
    """Tensors of many shapes and layouts, with some extreme values."""

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * scale

    odd = draw(40)
    odd[:8] = torch.tensor([0.0, -0.0, 1e-40, -1e-45, 6e-8, -3e-6, 65504.0, 1e30])
    infinite, undefined = draw(9), draw(9)
    infinite[3], undefined[5] = -math.inf, math.nan
    plain = [draw(), draw(1), draw(0), draw(3, 0), draw(7), draw(33, 65), draw(4099)]
    strided = [
        draw(24, 31).T,
        draw(50, 6)[::3, 1:5],
        draw(2, 3, 4, 5).to(memory_format=torch.channels_last),
    ]
    return [*plain, *strided, odd, infinite, undefined, torch.zeros(17)]


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory as integers, so that NaN equals NaN and 0 differs from -0."""
    return tensor.view(torch.int32 if tensor.element_size() == 4 else torch.int16)


@pytest.mark.parametrize('chunk', [1, 100, 2**22], ids='chunk={}'.format)
@pytest.mark.parametrize(
    ('stored', 'fp16_arithmetic'),
    [
        ([torch.float32], False),
        ([torch.float16], False),
        ([torch.float32], True),
        ([torch.float16], True),
        ([torch.float32, torch.float16, torch.bfloat16], False),
        ([torch.float32, torch.float16], True),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    'settings',
    [
        dict(lr=1e-7, weight_decay=0.2, max_grad_norm=1.0),
        dict(lr=3e-3, weight_decay=0.0, max_grad_norm=0.3),
        dict(lr=0.7, weight_decay=0.01, max_grad_norm=0.0),
    ],
    ids=lambda settings: f'lr={settings["lr"]:g}',
)
def test_equals_a_loop_over_the_tensors_bit_exactly(
    monkeypatch, settings, stored, fp16_arithmetic, chunk
):
    monkeypatch.setattr(bert_adam, 'CHUNK_ELEMENTS', chunk)
    settings = dict(settings, betas=(0.9, 0.98), eps=1e-6)
    generator = torch.Generator().manual_seed(0)
    start = [tensor.to(dtype) for dtype in stored for tensor in draw_tensors(generator, 0.1)]
    together = [nn.Parameter(tensor.clone()) for tensor in start]
    alone = [tensor.clone() for tensor in start]
    dtypes = [torch.float16 if fp16_arithmetic else tensor.dtype for tensor in start]
    moments = [
        tuple(torch.zeros_like(tensor, dtype=dtype) for _ in range(2))
        for tensor, dtype in zip(start, dtypes, strict=True)
    ]
    optimizer = BertAdam(together, **settings, fp16_arithmetic=fp16_arithmetic)
    for scale in (1e-6, 3e-4, 1e-8, 10.0, 1e4):
        gradients = [tensor for _ in stored for tensor in draw_tensors(generator, scale)]
        for index, gradient in enumerate(gradients):
            together[index].grad = gradient.to(start[index].dtype)
            alone[index].grad = gradient.to(start[index].dtype)
            step_alone(alone[index], moments[index], dtype=dtypes[index], **settings)
        optimizer.step()
        for parameter, expected, pair in zip(together, alone, moments, strict=True):
            state = optimizer.state[parameter]
            found = (parameter.detach(), state['exp_avg'], state['exp_avg_sq'])
            for tensor, other in zip(found, (expected, *pair), strict=True):
                assert tensor.dtype == other.dtype and tensor.stride() == other.stride()
                assert torch.equal(bits(tensor), bits(other)), (parameter.shape, scale)


def test_sparse_gradient():
    embedding = nn.Embedding(5, 3, sparse=True)
    embedding(torch.tensor([1, 2])).sum().backward()
    optimizer = BertAdam(embedding.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r'dense gradients, .* shape \(5, 3\) is torch.sparse_coo'):
        optimizer.step()
