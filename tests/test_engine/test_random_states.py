import io
import random

import numpy as np
import pytest
import torch

from ts2net_mm.engine.resuming import random_states, restore_random_states, seeded


def draw() -> list[float]:
    """Numbers of every generator; gauss and randn keep one for later."""
    numbers = [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn()]
    return [*numbers, torch.rand(1).item(), torch.randn(3)[0].item()]


@pytest.mark.parametrize('draws_before', [0, 1])
def test_states_go_through_a_file_and_back(draws_before):
    for _ in range(draws_before):
        draw()
    file = io.BytesIO()
    torch.save(random_states(), file)
    file.seek(0)
    expected = draw(), draw()
    restore_random_states(torch.load(file, weights_only=True))
    assert (draw(), draw()) == expected


def test_seeded_depends_on_its_numbers_alone_and_leaves_no_trace():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    expected = draw(), draw()
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    first = draw()
    with seeded(3, 1, 4):
        inside = draw()
    assert (first, draw()) == expected
    with seeded(3, 1, 4):
        assert draw() == inside
    with seeded(3, 1, 5):
        assert not set(draw()) & set(inside)


def test_seeded_leaves_no_trace_of_an_error_either():
    before = random_states()
    with pytest.raises(KeyError), seeded(1):
        draw()
        raise KeyError
    after = random_states()
    assert all(torch.equal(after[key], before[key]) for key in before)
