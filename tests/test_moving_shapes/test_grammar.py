from collections import Counter

import numpy as np
import pytest

from ts2net_mm.moving_shapes import (
    COLOURS,
    SHAPES,
    Meaning,
    all_captions,
    all_meanings,
    split_meanings,
)


def test_meanings_are_all_objects_with_all_sequences():
    meanings = all_meanings()
    assert len(meanings) == len(set(meanings)) == 648
    assert Counter(len(meaning.events) for meaning in meanings) == {1: 18 * 6, 2: 18 * 30}
    assert {meaning.colour for meaning in meanings} == set(COLOURS)
    assert {meaning.shape for meaning in meanings} == set(SHAPES)
    assert all(len(set(meaning.events)) == len(meaning.events) for meaning in meanings)


@pytest.mark.parametrize(
    ('events', 'reversed_events'),
    [
        (('left',), ('right',)),
        (('down',), ('up',)),
        (('grows',), ('shrinks',)),
        (('left', 'grows'), ('shrinks', 'right')),
        (('up', 'left'), ('right', 'down')),
        (('left', 'right'), ('left', 'right')),
        (('shrinks', 'grows'), ('shrinks', 'grows')),
    ],
)
def test_reversal_swaps_order_and_events(events, reversed_events):
    meaning = Meaning('red', 'circle', events)
    assert meaning.reversal == Meaning('red', 'circle', reversed_events)
    assert meaning.reversal.reversal == meaning


def test_reversal_of_a_meaning_is_a_meaning():
    meanings = set(all_meanings())
    assert {meaning.reversal for meaning in meanings} == meanings
    assert sum(meaning.reversal == meaning for meaning in meanings) == 6 * 18


def test_captions_of_two_events_keep_their_order():
    captions = all_captions(Meaning('red', 'triangle', ('left', 'grows')))
    assert len(captions) == len(set(captions)) == 2 * 3 * 3 * 3
    assert 'a red triangle moves left and then grows' in captions
    assert 'the red triangle first moves left then gets bigger' in captions
    assert 'a red triangle slides to the left before it grows' in captions
    larger = ('grows', 'bigger', 'larger')
    for caption in captions:
        assert caption.index('left') < max(caption.find(word) for word in larger)


def test_a_caption_has_one_meaning():
    captions = [caption for meaning in all_meanings() for caption in all_captions(meaning)]
    assert len(captions) == len(set(captions)) == 18 * (6 * 6 + 30 * 54)


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
