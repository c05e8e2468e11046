"""Freed memory is given back to the system."""

import ctypes
import sys
from pathlib import Path

import pytest
import torch

from ts2net_mm.utils.memory import release_freed_memory


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * 4096


@pytest.mark.skipif(
    not (sys.platform == 'linux' and hasattr(ctypes.CDLL(None), 'malloc_trim')), reason='glibc'
)
def test_holes_between_tensors_are_released():
    torch.ones(8_000_000)  # freed: from now on glibc keeps tensors of this size
    release_freed_memory()
    tensors = [torch.ones(500_000) for _ in range(100)]  # 2 MB each
    before = resident()
    tensors = tensors[::2]
    assert resident() > before - 20e6
    release_freed_memory()
    assert resident() < before - 80e6
    assert all(tensor.sum() == 500_000 for tensor in tensors)
