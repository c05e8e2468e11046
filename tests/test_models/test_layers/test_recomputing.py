"""Blocks that compute parts again in the backward pass, against their layers one by one."""

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from ts2net_mm.models.layers import recomputing
from ts2net_mm.models.layers.transformer import CLIPBlock, clip_layer_cfg

WIDTH, HEADS, LENGTH = 16, 2, 5
MASK = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])[:, None, None]


def build(act_cfg: dict | None = None, dtype: torch.dtype = torch.float32) -> CLIPBlock:
    torch.manual_seed(0)
    block = CLIPBlock(**clip_layer_cfg(WIDTH, HEADS, act_cfg)).to(dtype)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.4)
    return block


def one_by_one(block: CLIPBlock, x, mask=None, is_causal=False, shift=None):
    """The formula of a CLIP block, on its layers."""
    tokens = block.ln1(x)
    qkv = block.attn.qkv(tokens if shift is None else shift(tokens))
    heads = [part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=-1)]
    out = F.scaled_dot_product_attention(*heads, attn_mask=mask, is_causal=is_causal)
    x = x + block.attn.proj(out.transpose(1, 2).flatten(2))
    first, second = block.ffn.layers[0][0], block.ffn.layers[1]
    hidden = first(block.ln2(x))
    if isinstance(block.ffn.layers[0][1], nn.GELU):
        return x + second(F.gelu(hidden, approximate=block.ffn.layers[0][1].approximate))
    return x + second(hidden * torch.sigmoid(1.702 * hidden))


def results(run, block, x, **kwargs):
    """Output and gradients."""
    block.zero_grad()
    x = x.detach().requires_grad_()
    out = run(x, **kwargs)
    (out * torch.linspace(-1, 1, out.numel(), device=out.device).view_as(out)).sum().backward()
    return out.detach(), x.grad, *(p.grad for p in block.parameters() if p.requires_grad)


@pytest.mark.parametrize('act', [dict(type='GELU'), dict(type='GELU', approximate='tanh'), None])
@pytest.mark.parametrize(
    'kwargs', [{}, dict(mask=MASK), dict(is_causal=True), dict(shift=partial(torch.roll, shifts=1))]
)
def test_values_and_gradients(act, kwargs):
    block, x = build(act), torch.randn(2, LENGTH, WIDTH)
    expected = results(partial(one_by_one, block), block, x, **kwargs)
    torch.testing.assert_close(results(block, block, x, **kwargs), expected, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(block(x, **kwargs), expected[0])


@pytest.mark.parametrize('rows', [1, 3, 10, 11])
def test_hidden_layers_in_parts(monkeypatch, rows):
    block, x = build(), torch.randn(2, LENGTH, WIDTH)
    expected = results(block, block, x)
    monkeypatch.setattr(recomputing, 'PART_BYTES', rows * 4 * 4 * WIDTH)
    torch.testing.assert_close(results(block, block, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('act', [dict(type='GELU'), None])
def test_numerical_gradients(act):
    block = build(act, torch.float64)
    names, weights = zip(*block.named_parameters(), strict=True)

    def run(x, *weights):
        return torch.func.functional_call(block, dict(zip(names, weights, strict=True)), (x,))

    x = torch.randn(2, 3, WIDTH, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, *weights), fast_mode=True)


@pytest.mark.parametrize('frozen', ['', 'ffn', 'ln', 'attn', 'weight', 'bias'])
def test_autocast_with_frozen_parts(frozen):
    block, x = build(), torch.randn(2, LENGTH, WIDTH)
    for name, parameter in block.named_parameters():
        parameter.requires_grad_(not frozen or frozen not in name)
    with torch.autocast('cpu', torch.bfloat16):
        expected = results(partial(one_by_one, block), block, x)
        found = results(block, block, x)
    assert {tensor.dtype for tensor in found} == {torch.float32}
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() < 0.02 * other.norm()


def test_kept_for_the_backward_pass():
    """Input, query, key, value, output and input of the second half, and 4 for the hidden layer."""
    block, x = build(), torch.randn(2, LENGTH, WIDTH, requires_grad=True)
    parameters = {parameter.data_ptr() for parameter in block.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        out = block(x)
    log_sum_exp = 2 * LENGTH * HEADS
    found = sum(size for pointer, size in kept.items() if pointer not in parameters)
    assert found == 4 * ((6 + 4) * out.numel() + log_sum_exp)


class Doubled(nn.Linear):
    """Stands for an adapter, which has the weights of another layer and does more."""

    def forward(self, x):
        return 2 * super().forward(x)


def test_no_sentences_and_no_videos():
    block, x = build(), torch.empty(0, LENGTH, WIDTH)
    for found, expected in zip(
        results(block, block, x), results(partial(one_by_one, block), block, x), strict=True
    ):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('place', ['ln1', 'ln2', 'ffn', 'ffn.layers.0.1', 'attn.qkv'])
@pytest.mark.parametrize('kind', ['forward', 'full_backward'])
def test_hooks_are_called(place, kind):
    block, x, calls = build(), torch.randn(2, LENGTH, WIDTH), []
    getattr(block.get_submodule(place), f'register_{kind}_hook')(lambda *_: calls.append(place))
    results(block, block, x)
    assert calls == [place]


@pytest.mark.parametrize('place', ['attn.qkv', 'attn.proj', 'ffn.layers.0.0', 'ffn.layers.1'])
def test_changed_and_watched_layers_are_called(place):
    block, x = build(), torch.randn(2, LENGTH, WIDTH)
    before = block(x)
    calls = []
    watched = copy.deepcopy(block)
    watched.get_submodule(place).register_forward_hook(lambda *_: calls.append(place))
    torch.testing.assert_close(watched(x), before)
    assert calls == [place]
    layer = block.get_submodule(place)
    changed = Doubled(layer.in_features, layer.out_features)
    changed.load_state_dict(layer.state_dict())
    block.set_submodule(place, changed)
    torch.testing.assert_close(block(x), one_by_one(block, x))
    assert not torch.allclose(block(x), before)


def test_compilers_and_exporters_see_plain_operations():
    block, x = build(), torch.randn(2, LENGTH, WIDTH)
    compiled = torch.compile(block, backend='aot_eager', fullgraph=True)
    for found, expected in zip(results(compiled, block, x), results(block, block, x), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    program = torch.export.export(block.eval(), (x,))
    assert 'sigmoid' in program.graph_module.code and 'mkldnn' not in program.graph_module.code
    traced = torch.jit.trace(block, x)
    torch.testing.assert_close(traced(x), block(x))


@pytest.mark.parametrize('act', [dict(type='GELU'), None])
def test_shapes_without_values(act):
    """The meta device computes shapes alone."""
    block, x = build(act).to('meta'), torch.randn(2, LENGTH, WIDTH, device='meta')
    out, *grads = results(block, block, x)
    assert (out.device.type, out.shape) == ('meta', x.shape)
    assert [grad.shape for grad in grads] == [x.shape, *(p.shape for p in block.parameters())]
