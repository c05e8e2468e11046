import copy
import pickle

import numpy as np
import pytest

from ts2net_mm.datasets.samplers.substitutes import ItemNumber, draw_substitutes


@pytest.mark.parametrize('num_groups', [9, 30, 1000])
def test_any_of_them_may_be_used_together(num_groups):
    groups = np.arange(3 * num_groups) % num_groups
    rng = np.random.default_rng(0)
    for _ in range(50):
        batch = rng.permutation(num_groups)[:8]
        drawn = draw_substitutes(groups, batch, rng)
        assert len(drawn) == 8
        items = [item for substitutes in drawn for item in substitutes]
        together = groups[np.concatenate([batch, np.array(items, dtype=int)])]
        assert len(set(together)) == len(together)
        assert max(map(len, drawn)) - min(map(len, drawn)) <= 1
        assert max(map(len, drawn)) <= 8
    assert len(items) == {9: 1, 30: 22, 1000: 64}[num_groups]


def test_none_where_the_batch_holds_all_groups():
    drawn = draw_substitutes(np.arange(4), np.arange(4), np.random.default_rng(0))
    assert drawn == [()] * 4


def test_all_items_have_their_turn():
    rng = np.random.default_rng(0)
    seen = {
        item
        for _ in range(99)
        for s in draw_substitutes(np.arange(20), np.arange(4), rng)
        for item in s
    }
    assert seen == set(range(4, 20))


@pytest.mark.parametrize(
    'copied', [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_a_number_that_remembers(copied):
    number = copied(ItemNumber(7, (1, 2)))
    assert number == 7
    assert [10, 20, 30][ItemNumber(1)] == 20
    assert number.substitutes == (1, 2)
    assert ItemNumber(7).substitutes == ()
