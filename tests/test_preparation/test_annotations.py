from pathlib import Path

import pytest

from ts2net_mm.datasets.transforms import TokenizeCaptions
from ts2net_mm.preparation import Annotations, Clip, Split
from ts2net_mm.preparation.annotations import CaptionTable, make_split


def test_captions_keep_their_order_and_repetitions():
    table = CaptionTable()
    for video_id, caption in [('b', 'one'), ('a', 'two'), (' b', 'one'), ('b', 'three')]:
        table.add('file:1', video_id, caption)
    assert table['b'] == ['one', 'one', 'three']
    assert 'a' in table
    assert 'c' not in table
    assert table.check() == []


def test_cleaning_changes_no_token():
    raw = ' A\tman \n says\u00a0 “hi”  \r'
    table = CaptionTable()
    table.add('file:1', 'a', raw)
    assert table['a'] == ['A man says “hi”']
    tokenize = TokenizeCaptions(max_words=32)
    texts = [tokenize(dict(text=[text]))['text'] for text in (raw, table['a'][0])]
    assert (texts[0] == texts[1]).all()


def test_joined():
    table = CaptionTable()
    table.add_joined('file', 'a', ['One. ', '', ' Two.'])
    assert table['a'] == ['One. Two.']
    assert table.empty == ['file, sentence 2 (a)']
    with pytest.raises(ValueError, match=r'file: expected sentences, found None'):
        table.add_joined('file', 'a', ['one', None])


def test_empty_captions_are_an_error_or_dropped():
    table = CaptionTable()
    table.add('file:0', 'a', 'x')
    for number in range(1, 8):
        table.add(f'file:{number}', 'a' if number < 7 else 'b', ' \n')
    message = r'7 captions are empty, the first: file:1 \(a\), .*file:5 \(a\); fix them, or drop'
    with pytest.raises(ValueError, match=message):
        table.check()
    table.drop_empty = True
    (note,) = table.check()
    assert note.startswith('dropped: 7 captions are empty')
    assert table['a'] == ['x']
    assert 'b' not in table


@pytest.fixture
def captions():
    table = CaptionTable()
    for video_id in 'abc':
        table.add('file', video_id, f'{video_id} one')
    table.add('file', 'a', 'a two')
    return table


def test_a_split_has_each_listed_and_annotated_video_once(captions):
    times = dict(a=(0, 1), c=(0, 2))
    split = make_split('train', Path('x/list.txt'), 'cxaccy', captions, times=times.__getitem__)
    assert split.clips == [Clip('c', ['c one'], 0, 2), Clip('a', ['a one', 'a two'], 0, 1)]
    assert split.unannotated == ['x', 'y']
    assert split.num_repeated == 2
    assert split.num_captions == 3
    assert split.listed_in == 'list.txt'


def test_nothing_listed_or_annotated(captions):
    with pytest.raises(ValueError, match=r'list\.txt lists no videos'):
        make_split('train', Path('list.txt'), '', captions)
    message = r"none of the 2 videos of list\.txt is annotated, the .*'x'"
    with pytest.raises(ValueError, match=message):
        make_split('train', Path('list.txt'), 'xy', captions)


def test_a_video_in_two_splits():
    clips = {
        name: [Clip(one, ['x']) for one in ids] for name, ids in dict(a='12', b='32', c='2').items()
    }
    splits = [Split(name, some, f'{name}.txt') for name, some in clips.items()]
    Annotations('X', splits, [('a', 'absent')], []).check()
    with pytest.raises(ValueError, match=r'1 videos are in both a\.txt and b\.txt, the first: 2'):
        Annotations('X', splits, [('a', 'b')], []).check()
