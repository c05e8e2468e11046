from pathlib import Path

import pytest

from ts2net_mm.preparation import Annotations, Clip, Split
from ts2net_mm.preparation.captions import CaptionTable
from ts2net_mm.preparation.splits import make_split


@pytest.fixture
def captions():
    table = CaptionTable()
    for video_id in 'abc':
        table.add('file', video_id, f'{video_id} one')
    table.add('file', 'a', 'a two')
    return table


def test_listed_videos_in_order_each_once(captions):
    split = make_split('train', Path('list.txt'), 'cac', captions, start=0, ends=dict(a=1, c=2).get)
    assert split.clips == [Clip('c', ['c one'], 0, 2), Clip('a', ['a one', 'a two'], 0, 1)]


def test_unannotated_and_repeated_are_told(captions):
    split = make_split('train', Path('x/list.txt'), 'cxaccy', captions)
    assert [clip.video_id for clip in split.clips] == ['c', 'a']
    assert split.unannotated == ['x', 'y']
    assert split.num_repeated == 2
    assert split.num_captions == 3
    assert split.listed_in == 'list.txt'


def test_nothing_annotated(captions):
    with pytest.raises(
        ValueError, match=r"none of the 2 videos of list\.txt is annotated, the .*'x'"
    ):
        make_split('train', Path('list.txt'), 'xy', captions)


def test_a_video_in_two_splits():
    clips = {
        name: [Clip(one, ['x']) for one in ids] for name, ids in dict(a='12', b='32', c='2').items()
    }
    splits = [Split(name, some, f'{name}.txt') for name, some in clips.items()]
    Annotations('X', splits, [], []).check()
    Annotations('X', splits, [('a', 'absent')], []).check()
    with pytest.raises(ValueError, match=r'1 videos are in both a\.txt and b\.txt, the first: 2'):
        Annotations('X', splits, [('a', 'b')], []).check()
