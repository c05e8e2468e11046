import pytest

from ts2net_mm.datasets import TextVideoDataset
from ts2net_mm.preparation import read_lsmdc

TEST = 'LSMDC16_challenge_1000_publictect.csv'
CLIPS = [f'0001_Film_One/0001_Film_One_00.0{n}.51.926-00.0{n}.54.129' for n in range(4)]


@pytest.fixture(scope='module')
def lsmdc(prepared):
    return prepared('lsmdc', read_lsmdc)


def test_rows_of_a_clip_are_its_captions(lsmdc, miniatures):
    missing = CLIPS[3].split('/')[1]
    assert list(lsmdc.train) == [*(f'{clip}.avi' for clip in CLIPS[:3]), f'{missing}.mp4']
    assert [len(captions) for captions in lsmdc.train.values()] == [1, 3, 1, 1]
    clip = CLIPS[1].split('/')[1]
    assert lsmdc.train[f'{CLIPS[1]}.avi'] == [
        f'SOMEONE says "go" as {miniatures.sentence(clip, n)}.' for n in range(3)
    ]
    assert lsmdc.lists == {'missing_videos': [missing]}
    note = 'LSMDC16_annos_training.csv: 1 clips have several rows, each a caption'
    assert lsmdc.summary['notes'] == [note]


def test_as_many_items_as_rows(prepared):
    out = prepared('lsmdc', read_lsmdc, on_missing='drop').out
    files = dict(data_root=str(out), data_prefix=dict(video='videos'), pipeline=())
    assert len(TextVideoDataset(ann_file='train.json', **files)) == 5
    assert len(TextVideoDataset(ann_file='test.json', test_mode=True, **files)) == 4


@pytest.mark.parametrize('end', ['\n', '\r\n'])
def test_the_test_has_one_caption_per_video(edit, end):
    row = 'clip_1\t1\t2\t3\t4\tOne sentence.'
    folder = edit('lsmdc', TEST, end.join([row, '', row.replace('clip_1', 'clip_2')]))
    assert [clip.captions for clip in read_lsmdc(folder).splits[2].clips] == [['One sentence.']] * 2
    folder = edit('lsmdc', TEST, end.join([row, '', row]))
    with pytest.raises(ValueError, match=r'csv:3: clip_1 has a sentence already, at .*csv:1'):
        read_lsmdc(folder)


@pytest.mark.parametrize(
    ('file', 'content', 'message'),
    [
        ('LSMDC16_annos_val.csv', None, r'lacks LSMDC16_annos_val\.csv; expected: LSMDC16_annos_t'),
        (TEST, 'a\t1\t2\t3\t4\tx\na\t1\t2\t3\tx\n', r'csv:2: expected 6 columns separated by tabs'),
        (TEST, 'a\t1\t2\t3\t4\t\n', r'1 captions are empty, the first: .*csv:1 \(a\)'),
        (TEST, b'a\t1\t2\t3\t4\tcaf\xe9\n', r'csv:1: not valid UTF-8'),
    ],
)
def test_bad_files(edit, file, content, message):
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        read_lsmdc(edit('lsmdc', file, content))


def test_a_test_clip_in_training(edit):
    row = f'{CLIPS[0].split("/")[1]}\t1\t2\t3\t4\tx'
    with pytest.raises(ValueError, match=r'1 videos are in both LSMDC16_annos_training\.csv and'):
        read_lsmdc(edit('lsmdc', TEST, row)).check()
