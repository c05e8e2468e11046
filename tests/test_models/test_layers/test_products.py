"""Products of a linear layer."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ts2net_mm.models.layers import products


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(('n', 'k', 'm'), [(5, 7, 3), (3, 7, 5), (1, 1, 1)])
def test_products(dtype, n, k, m):
    torch.manual_seed(0)
    a, b, bias = torch.randn(n, k).to(dtype), torch.randn(k, m).to(dtype), torch.rand(m).to(dtype)
    expected = sum(a[:, [i]].double() * b[[i]].double() for i in range(k))
    tolerance = (
        dict(rtol=1e-5, atol=1e-5) if dtype != torch.bfloat16 else dict(rtol=0.02, atol=0.02)
    )
    for first in (a, a.t().contiguous().t()):
        for second in (b, b.t().contiguous().t()):
            found = products.matmul(first, second)
            assert found.dtype == dtype
            torch.testing.assert_close(found.double(), expected, **tolerance)
            found = products.product_linear(first, second.t(), bias)
            torch.testing.assert_close(found.double(), expected + bias, **tolerance)


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() != 'AVX512', reason='needs a CPU with AVX-512'
)
def test_where_onednn_computes():
    with torch.profiler.profile() as profile:
        products.matmul(torch.rand(4, 4), torch.rand(4, 4))
        products.matmul(torch.rand(4, 4).double(), torch.rand(4, 4).double())
    calls = {event.key: event.count for event in profile.key_averages()}
    assert (calls['mkldnn::_linear_pointwise'], calls['aten::mm']) == (1, 1)


def test_operations_are_counted():
    with FlopCounterMode(display=False) as counter:
        products.matmul(torch.rand(2, 3), torch.rand(3, 5))
    assert counter.get_total_flops() == 2 * 2 * 3 * 5
