import resource
from pathlib import Path

import pytest
from mmengine.fileio import get_file_backend

from ts2net_mm.engine.checkpointing import ATOMIC_BACKEND


@pytest.fixture
def backend():
    return get_file_backend(backend_args=dict(backend=ATOMIC_BACKEND))


@pytest.fixture
def full_disk():
    """No file may grow beyond 1000 bytes, which looks to a program like a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_backend_of_a_full_disk(backend, tmp_path, full_disk):
    path = str(tmp_path / 'file.pth')
    backend.put(b'old' * 100, path)
    with pytest.raises(OSError, match='too large'):
        backend.put(b'new' * 1000, path)
    assert backend.get(path) == b'old' * 100
    assert [one.name for one in tmp_path.iterdir()] == ['file.pth']


def test_backend_writes_text(backend, tmp_path):
    backend.put_text('größer', str(tmp_path / 'file.txt'))
    assert Path(tmp_path, 'file.txt').read_text(encoding='utf-8') == 'größer'
