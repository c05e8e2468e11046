import json

import pytest

from ts2net_mm.datasets import TextVideoDataset
from ts2net_mm.preparation import prepare, read_pairs

ROWS = [
    dict(video='a.mp4', caption='one', start=None),
    dict(video='b', caption='two', start=1.5),
    dict(video='a.mp4', caption='three', start=None),
]


def as_json(rows):
    return json.dumps(rows)


def as_lines(rows):
    return '\n'.join(json.dumps(row) for row in rows) + '\n\n'


def as_table(delimiter):
    def write(rows):
        cells = [list(rows[0])] + [['' if v is None else v for v in r.values()] for r in rows]
        return '\n'.join(delimiter.join(f'"{cell}"' for cell in row) for row in cells)

    return write


@pytest.mark.parametrize(
    ('name', 'write'),
    [
        ('val.json', as_json),
        ('val.jsonl', as_lines),
        ('val.csv', as_table(',')),
        ('val.csv', as_table(';')),
        ('val.tsv', as_table('\t')),
    ],
)
def test_every_form_says_the_same(tmp_path, name, write):
    path = tmp_path / name
    path.write_text(write(ROWS))
    annotations = read_pairs([path])
    (split,) = annotations.splits
    assert (split.name, split.num_captions) == ('val', 3)
    assert [(clip.video_id, clip.captions, clip.start, clip.end) for clip in split.clips] == [
        ('a.mp4', ['one', 'three'], None, None),
        ('b', ['two'], 1.5, None),
    ]
    assert annotations.notes == [f"{name}: videos from 'video', captions from 'caption'"]


def test_a_training_reads_what_is_prepared(miniatures, tmp_path):
    mini = miniatures.make_pairs(tmp_path)
    files = [mini.annotations / 'train.csv', mini.annotations / 'test.jsonl']
    out = tmp_path / 'out'
    result = prepare(read_pairs(files), videos=mini.videos, out=out)
    assert not result.missing
    folders = dict(data_root=str(out), data_prefix=dict(video='videos'), pipeline=[])
    train = TextVideoDataset(ann_file='train.json', **folders)
    assert len(train) == 10
    assert train[2]['video_id'] == 'cam1/clip0.mp4'
    assert train[2]['text'] == [f'{miniatures.sentence("cam1/clip0.mp4", 0)}, slowly']
    test = json.loads((out / 'test.json').read_text('utf-8'))
    sentence = miniatures.sentence('cam1/clip2.mp4', 0)
    assert test['cam1/clip2.mp4'] == dict(captions=[sentence], start=0, end=1.5)


def test_other_names_of_the_fields(tmp_path):
    path = tmp_path / 'train.json'
    rows = [dict(clip='a.mp4', text='a text', zh=['一', '二'])]
    path.write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=r'entry 0 has no video under video, .*fields clip, text'):
        read_pairs([path])
    (split,) = read_pairs([path], video_key='clip').splits
    assert split.clips[0].captions == ['a text']
    (split,) = read_pairs([path], video_key='clip', caption_key='zh').splits
    assert split.clips[0].captions == ['一', '二']


def test_splits_that_share_videos(tmp_path):
    files = [tmp_path / f'{name}.json' for name in ('train', 'val', 'test')]
    for path, video in zip(files, 'abb', strict=True):
        path.write_text(json.dumps([dict(video=video, caption='x')]))
    annotations = read_pairs(files)
    annotations.check()
    assert '1 videos are in both val.json and test.json' in annotations.notes
    files[0].write_text(json.dumps([dict(video='b', caption='x')]))
    with pytest.raises(ValueError, match=r'1 videos are in both train\.json and val\.json'):
        read_pairs(files).check()


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('a.txt', 'x', r'a\.txt should end in one of \.json, \.jsonl'),
        ('a.csv', 'video,caption\nb,\n', r'1 captions are empty, the first: .*a\.csv:2 \(b\)'),
        ('a.csv', 'video,caption,end\nb,x,soon\n', r"csv:2: end: expected seconds.* found 'soon'"),
        ('a.csv', 'video,caption,start,end\nb,x,3,2\n', r'csv:2: end 2\.0 is not after start 3\.0'),
        ('a.jsonl', '{"video": "b"\n', r'a\.jsonl:1: not valid JSON'),
        ('a.jsonl', '\n["b"]\n', r"a\.jsonl:2: expected an object, found \['b'\]"),
        (
            'a.json',
            '[{"video": "b", "caption": "x"}, {"video": "c"}]',
            r"1 has no 'caption', found",
        ),
        (
            'a.csv',
            'video,caption,end\nb,x,2\nb,y,3\n',
            r'a\.csv:3: b from None to 3\.0, but from None to 2\.0 at .*a\.csv:2',
        ),
        ('summary.csv', 'video,caption\nb,x\n', r'summary\.json would be written twice'),
    ],
)
def test_bad_lists(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_pairs([tmp_path / name])
