from collections import Counter

import numpy as np
import pytest

from ts2net_mm.moving_shapes import all_meanings, split_meanings

SEEDS = range(5)


def _split(seed):
    return split_meanings(np.random.default_rng(seed))


@pytest.mark.parametrize('seed', SEEDS)
def test_each_meaning_is_in_one_part(seed):
    split = _split(seed)
    parts = [list(split.train), split.val.meanings, split.test.meanings]
    assert [len(part) for part in parts] == [248, 200, 200]
    assert sorted(sum(parts, [])) == sorted(all_meanings())


@pytest.mark.parametrize('seed', SEEDS)
def test_pairs_are_reversals(seed):
    split = _split(seed)
    assert len(split.test.pairs) == 50
    assert len(split.val.pairs) == 50
    for first, second in split.test.pairs + split.val.pairs:
        assert first.reversal == second
        assert first != second


@pytest.mark.parametrize('seed', SEEDS)
def test_training_shows_every_part_of_what_is_tested(seed):
    train = _split(seed).train
    sequences = Counter(meaning.events for meaning in train)
    assert len(sequences) == 36
    assert min(sequences.values()) >= 4
    objects = Counter((meaning.colour, meaning.shape) for meaning in train)
    assert len(objects) == 18
    assert min(objects.values()) >= 12
    events = {(meaning.colour, event) for meaning in train for event in meaning.events}
    assert len(events) == 9 * 6


@pytest.mark.parametrize('seed', SEEDS)
def test_held_out_meanings_are_spread_evenly(seed):
    split = _split(seed)
    for part in (split.test, split.val):
        counts = Counter(meaning.events for meaning in part.meanings).values()
        assert (min(counts), max(counts)) == (5, 6)


def test_split_follows_from_the_seed():
    assert _split(3) == _split(3)
    assert _split(3) != _split(4)
