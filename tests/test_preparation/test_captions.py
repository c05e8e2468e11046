import pytest

from ts2net_mm.datasets.transforms import TokenizeCaptions
from ts2net_mm.preparation.captions import CaptionTable


def test_captions_keep_their_order_and_repetitions():
    table = CaptionTable()
    for video_id, caption in [('b', 'one'), ('a', 'two'), (' b', 'one'), ('b', 'three')]:
        table.add('file:1', video_id, caption)
    assert table['b'] == ['one', 'one', 'three']
    assert 'a' in table
    assert 'c' not in table
    assert len(table) == 2
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
    with pytest.raises(ValueError, match=r'file: expected sentences, found None'):
        table.add_joined('file', 'a', ['one', None])


@pytest.mark.parametrize(
    ('video_id', 'caption', 'message'),
    [
        (7, 'x', r'file:3: expected a video id, found 7'),
        (' ', 'x', r"file:3: expected a video id, found ' '"),
        ('a', None, r'file:3: expected a caption, found None'),
        ('a', ['x'], r"file:3: expected a caption, found \['x'\]"),
    ],
)
def test_bad_values(video_id, caption, message):
    with pytest.raises(ValueError, match=message):
        CaptionTable().add('file:3', video_id, caption)


def fill_with_empty(table):
    table.add('file:0', 'a', 'x')
    for number in range(1, 8):
        table.add(f'file:{number}', 'a' if number < 7 else 'b', ' \n')
    return table


def test_empty_captions_are_an_error_that_names_five():
    message = r'7 captions are empty, the first: file:1 \(a\), .*file:5 \(a\); mend them, or leave'
    with pytest.raises(ValueError, match=message):
        fill_with_empty(CaptionTable()).check()


def test_empty_captions_can_be_dropped():
    table = fill_with_empty(CaptionTable(drop_empty=True))
    (note,) = table.check()
    assert note.startswith('left out: 7 captions are empty')
    assert table['a'] == ['x']
    assert 'b' not in table
    assert len(table) == 1
