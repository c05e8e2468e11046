"""Many tensors at a time give the numbers of a loop over them."""

import math

import pytest
import torch
from torch import nn

from ts2net_mm.engine import BertAdam, bert_adam


def step_alone(parameter, moments, *, dtype, lr, betas, eps, weight_decay, max_grad_norm) -> None:
    """The released rule for one tensor, operation by operation."""
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
    """The same memory as whole numbers, so that NaN equals NaN and 0 is not -0."""
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
def test_equals_a_loop_over_the_tensors_to_the_bit(
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
            for one, other in zip(found, (expected, *pair), strict=True):
                assert one.dtype == other.dtype and one.stride() == other.stride()
                assert torch.equal(bits(one), bits(other)), (parameter.shape, scale)


def test_gradients_are_left_as_they_are():
    parameter = nn.Parameter(torch.ones(4))
    parameter.grad = torch.full((4,), 3.0)
    BertAdam([parameter], lr=0.1, max_grad_norm=0).step()
    assert torch.equal(parameter.grad, torch.full((4,), 3.0))


def test_tensors_are_updated_in_chunks_in_their_order(monkeypatch):
    """Few elements at a time, so that the temporaries stay small; a large tensor is a chunk."""
    monkeypatch.setattr(bert_adam, 'CHUNK_ELEMENTS', 10)
    parameters = [nn.Parameter(torch.ones(size)) for size in (4, 6, 1, 30, 0, 9, 2, 5)]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    parameters[6].grad = None
    chunks = []
    update = BertAdam._update

    def note(self, params, group):
        chunks.append([param.numel() for param in params])
        update(self, params, group)

    monkeypatch.setattr(BertAdam, '_update', note)
    BertAdam(parameters, lr=0.1).step()
    assert chunks == [[4, 6], [1], [30], [0, 9], [5]]


def test_sparse_gradient():
    embedding = nn.Embedding(5, 3, sparse=True)
    embedding(torch.tensor([1, 2])).sum().backward()
    optimizer = BertAdam(embedding.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r'dense gradients, .* shape \(5, 3\) is torch.sparse_coo'):
        optimizer.step()
