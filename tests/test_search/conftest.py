"""An empty index, and videos to add."""

import pytest
from index_data import describe, make_entry

from ts2net_mm.search import VideoStore


@pytest.fixture
def store(tmp_path):
    return VideoStore.create(tmp_path / 'index', describe())


@pytest.fixture
def entries():
    return [
        make_entry(f'/videos/{number}.mp4', seed=number, num_windows=1 + number % 4)
        for number in range(60)
    ]
