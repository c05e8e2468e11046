from collections import Counter

import pytest

from ts2net_mm.rendered.moving_shapes import COLOURS, SHAPES, Meaning, all_captions, all_meanings


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
