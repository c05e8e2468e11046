import json
import zipfile

import pytest

from ts2net_mm.preparation import read_msrvtt

DATA = 'MSRVTT_data.json'
TRAIN = ['TrainValVideo/video0.mp4', 'TrainValVideo/video1.avi', 'TrainValVideo/video2.webm']
TRAIN += ['TrainValVideo/video3.mp4', 'video4.mp4', 'video5.mp4']
TRAIN_IDS = [f'video{number}' for number in range(6)]
TEST_IDS = [f'video{number}' for number in range(7010, 7014)]
KEYS = ('videos', 'sentences')
TEST = [f'TestVideo/video{number}.mp4' for number in range(7010, 7014)]


@pytest.fixture(scope='module')
def msrvtt(prepared):
    return prepared('msrvtt', read_msrvtt)


def test_training_splits(msrvtt, miniatures):
    assert list(msrvtt.train_9k) == [*TRAIN, TEST[3]]
    assert list(msrvtt.train_7k) == TRAIN
    assert msrvtt.train_9k[TRAIN[1]] == [miniatures.sentence('video1', n) for n in range(3)]
    assert 'café' in msrvtt.train_9k[TRAIN[1]][2]


def test_one_sentence_a_video_in_1ka(msrvtt, miniatures):
    assert list(msrvtt.test_1ka) == TEST[:3]
    sentence = f'{miniatures.sentence("video7011", 1)}, slowly'
    assert msrvtt.test_1ka[TEST[1]] == [sentence]


def test_all_captions_in_the_full_test(msrvtt):
    assert list(msrvtt.test_full) == TEST
    assert [len(captions) for captions in msrvtt.test_full.values()] == [3] * 4


def test_what_needs_attention(msrvtt):
    assert msrvtt.lists == {
        'missing_videos': ['video4'],
        'repeated_videos': ['video5\tvideo5.mp4\tvideo5.webm'],
        'unannotated_videos': ['MSRVTT_train.9k.csv\tvideo9'],
    }


def test_without_what_not_all_people_have(edit):
    annotations = read_msrvtt(edit('msrvtt', 'MSRVTT_train.7k.csv', None))
    assert [split.name for split in annotations.splits] == ['train_9k', 'test_1ka', 'test_full']
    assert annotations.notes[0].startswith('train_7k.json is not written: ')
    sentences = [dict(video_id='video0', caption='x')]
    annotations = read_msrvtt(edit('msrvtt', DATA, dict(sentences=sentences)))
    assert [split.name for split in annotations.splits] == ['train_9k', 'train_7k', 'test_1ka']
    assert annotations.notes[0].startswith('test_full.json is not written: ')


def test_the_files_of_its_authors(miniatures, tmp_path, msrvtt):
    folder = miniatures.make_msrvtt(tmp_path).annotations
    content = json.loads((folder / DATA).read_text('utf-8'))
    (folder / DATA).unlink()
    parts = dict(train_val=set(TRAIN_IDS), test=set(TEST_IDS))
    for name, ids in parts.items():
        part = {key: [one for one in content[key] if one['video_id'] in ids] for key in KEYS}
        (folder / f'{name}_videodatainfo.json').write_text(json.dumps(part), encoding='utf-8')
    expected = read_of(msrvtt.mini.annotations)
    assert read_of(folder) == expected
    for name in parts:
        path = folder / f'{name}_videodatainfo.json'
        with zipfile.ZipFile(folder / f'{name}_annotation.zip', 'w') as archive:
            archive.writestr(f'__MACOSX/._{path.name}', 'x')
            archive.write(path, f'some folder/{path.name}')
        path.unlink()
    assert read_of(folder) == expected
    (folder / 'test_annotation.zip').unlink()
    annotations = read_msrvtt(folder)
    assert [split.name for split in annotations.splits] == ['train_9k', 'train_7k', 'test_1ka']
    assert annotations.splits[0].unannotated == ['video7013', 'video9']
    assert annotations.notes[0] == (
        'test_videodatainfo.json is missing: its videos have no captions'
    )


def read_of(folder):
    return {split.name: split.clips for split in read_msrvtt(folder).splits}


def test_only_what_is_asked_for(edit):
    folder = edit('msrvtt', DATA, None)
    (folder / 'MSRVTT_train.9k.csv').unlink()
    annotations = read_msrvtt(folder, splits=['test_1ka'])
    assert [split.name for split in annotations.splits] == ['test_1ka']
    assert annotations.sources == [folder / 'MSRVTT_JSFUSION_test.csv']
    with pytest.raises(FileNotFoundError, match=r'lacks MSRVTT_train\.9k\.csv'):
        read_msrvtt(folder, splits=['train_9k', 'test_1ka'])
    (folder / DATA).write_text(
        json.dumps(
            dict(
                sentences=[dict(video_id='video0', caption='x')],
                videos=[dict(video_id='video0', split='train')],
            )
        )
    )
    with pytest.raises(ValueError, match=r'no video of .*data\.json has "split": "test"'):
        read_msrvtt(folder, splits=['test_full'])


def test_semicolons_between_the_columns_of_1ka(edit):
    text = 'key;vid_key;video_id;sentence\nret0;msr7010;video7010;a man, and a dog\n'
    folder = edit('msrvtt', 'MSRVTT_JSFUSION_test.csv', text)
    (split,) = read_msrvtt(folder, splits=['test_1ka']).splits
    assert [clip.captions for clip in split.clips] == [['a man, and a dog']]


@pytest.mark.parametrize(
    ('file', 'content', 'message'),
    [
        (DATA, None, r'lacks MSRVTT_data\.json; expected: MSRVTT_data\.json, .*; found: MSRVTT_J'),
        (DATA, dict(info=1), r'data\.json: expected a list "sentences", found .*info'),
        (DATA, dict(sentences=[{'video_id': 'a'}]), r'sentences\[0\]: expected an object with vid'),
        (
            DATA,
            dict(sentences=[dict(video_id=3, caption='x')]),
            r'sentences\[0\]: expected a video id, found 3',
        ),
        (
            DATA,
            dict(sentences=[dict(video_id='video0', caption=' ')]),
            r'1 captions are empty, the first: .*data\.json: sentences\[0\] \(video0\); fix',
        ),
        ('MSRVTT_train.9k.csv', 'video_id,x\n ,y\n', r'9k\.csv:2: expected a video id'),
        (
            'MSRVTT_JSFUSION_test.csv',
            'video_id,sentence\na,x\nb,y\na,z\n',
            r'test\.csv:4: a has a sentence already, at .*test\.csv:2',
        ),
    ],
)
def test_bad_files(edit, file, content, message):
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        read_msrvtt(edit('msrvtt', file, content))


def test_a_test_video_in_training(edit):
    folder = edit('msrvtt', 'MSRVTT_train.7k.csv', 'video_id\nvideo0\nvideo7013\n')
    with pytest.raises(
        ValueError, match=r'1 videos are in both MSRVTT_train\.7k\.csv and MSRVTT_d'
    ):
        read_msrvtt(folder).check()
