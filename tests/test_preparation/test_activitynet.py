import pytest

from ts2net_mm.preparation import read_activitynet

IDS = [f'QOlSCBRmfW{n}' for n in range(9)]


@pytest.fixture(scope='module')
def activitynet(prepared):
    return prepared('activitynet', read_activitynet)


def test_files_with_and_without_prefix(activitynet):
    assert list(activitynet.train) == [
        *(f'{one}.mp4' for one in IDS[:3]),
        f'v_{IDS[3]}.mp4',
        f'v_{IDS[4]}.mp4',
    ]
    assert list(activitynet.test) == [f'v_{one}.webm' for one in IDS[5:]]
    assert activitynet.lists == {
        'missing_videos': [f'v_{IDS[4]}'],
        'unannotated_videos': ['train_ids.json\tv_notannotated'],
    }


def test_one_paragraph_from_0_to_the_duration(activitynet, miniatures):
    one = f'v_{IDS[2]}'
    paragraph = f'A man and {miniatures.sentence(one, 2)}. Later {miniatures.sentence(one, 3)}.'
    assert activitynet.train[f'{IDS[2]}.mp4'] == dict(captions=[paragraph], start=0, end=5.5)


@pytest.mark.parametrize(
    ('file', 'content', 'message'),
    [
        ('val_1.json', None, r'lacks val_1\.json; expected: train\.json, val_1\.json; found: '),
        ('train_ids.json', ['a', 3], r'train_ids\.json: entry 1: expected a video id, found 3'),
        ('train.json', {'v_a': [1]}, r"'v_a': expected an object with duration and sentences, fo"),
        ('train.json', {'v_a': {'sentences': ['x']}}, r"'v_a': duration: expected seconds above"),
        (
            'train.json',
            '{"v_a": {"duration": NaN, "sentences": []}}',
            r'duration: expected .* found nan',
        ),
        ('train.json', {'v_a': {'duration': True}}, r'duration: expected .*, found True'),
        (
            'train.json',
            {'v_a': {'duration': 3, 'sentences': ['', ' ']}},
            r"2 captions are empty, the first: .*'v_a', sentence 1 \(v_a\)",
        ),
    ],
)
def test_bad_files(edit, file, content, message):
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        read_activitynet(edit('activitynet', file, content))


def test_without_the_lists(edit, activitynet):
    folder = edit('activitynet', 'val_ids.json', None)
    annotations = read_activitynet(folder)
    assert [clip.video_id for clip in annotations.splits[1].clips] == [
        f'v_{one}' for one in IDS[5:]
    ]
    assert annotations.splits[1].listed_in == 'val_1.json'
    assert annotations.notes == ['val_ids.json is missing: the videos are those of val_1.json']
    assert folder / 'val_ids.json' not in annotations.sources
