import json

import numpy as np
import pytest
from mmengine.registry import init_default_scope

from ts2net_mm.datasets import TextVideoDataset
from ts2net_mm.preparation import read_didemo

NAMES = [f'1009039{n}@N00_408{n}_274c77d26a.{"mov" if n % 2 else "avi"}' for n in range(9)]
NAMES[3] = NAMES[3].replace('.mov', '.')


@pytest.fixture(scope='module')
def didemo(prepared):
    return prepared('didemo', read_didemo)


def test_one_paragraph_of_the_first_31_seconds(didemo, miniatures):
    assert list(didemo.train) == NAMES[:4]
    assert list(didemo.val) == [NAMES[4], NAMES[8]]
    assert list(didemo.test) == NAMES[5:8]
    paragraph = ' '.join(miniatures.sentence(NAMES[1], n) for n in range(3))
    assert didemo.train[NAMES[1]] == dict(captions=[paragraph], start=0, end=31)
    assert didemo.lists == {'missing_videos': [NAMES[2]]}


def test_frames_end_with_second_31(didemo, tmp_path):
    init_default_scope('mmaction')
    path = tmp_path / 'one.json'
    path.write_text(json.dumps({NAMES[0]: didemo.train[NAMES[0]]}))
    pipeline = [dict(type='DecordInit'), dict(type='SampleFramesByRate', num_frames=64)]
    prefix = dict(video=str(didemo.out / 'videos'))
    item = TextVideoDataset(ann_file=str(path), data_prefix=prefix, pipeline=pipeline)[0]
    assert item['total_frames'] == 35 * 4
    assert item['frame_inds'][item['frame_mask']].tolist() == (4 * np.arange(32)).tolist()


@pytest.mark.parametrize('extension', ['', '.mp4'])
def test_lists_and_data_need_not_agree_on_extensions(edit, miniatures, extension):
    listed = NAMES[1].split('.')[0] + extension
    split = read_didemo(edit('didemo', 'train_list.txt', f'{listed}\n')).splits[0]
    assert [clip.video_id for clip in split.clips] == [listed]
    paragraph = ' '.join(miniatures.sentence(NAMES[1], n) for n in range(3))
    assert split.clips[0].captions == [paragraph]


def test_a_twin_that_no_list_names(didemo, miniatures):
    # of the same name but for the extension, with sentences and a file of its own
    twin = NAMES[7].replace('.mov', '.mp4')
    captions = didemo.test[NAMES[7]]['captions']
    assert captions == [' '.join(miniatures.sentence(NAMES[7], n) for n in range(3))]
    assert twin not in didemo.test
    assert (didemo.out / 'videos' / twin).is_file()
    assert didemo.summary['notes'] == [
        'test_data.json: 1 videos are not in test_list.txt, so their descriptions are not used; '
        '1 of them differ from a listed one only in the extension'
    ]


def test_twins_are_never_joined(edit):
    entries = [
        dict(video=f'{name}.{extension}', description=f'{name} {extension}')
        for name in ('a', 'b', 'c')
        for extension in ('mov', 'avi')
    ]
    folder = edit('didemo', 'val_data.json', entries)
    (folder / 'val_list.txt').write_text('a.avi\nb\nc.mov\nc.mp4\n')
    split = read_didemo(folder).splits[1]
    captions = {clip.video_id: clip.captions for clip in split.clips}
    assert captions == {'a.avi': ['a avi'], 'c.mov': ['c mov']}
    assert split.unannotated == ['b', 'c.mp4']


@pytest.mark.parametrize(
    ('file', 'content', 'message'),
    [
        ('val_data.json', None, r'lacks val_data\.json; expected: train_list\.txt, val_list\.txt'),
        ('val_data.json', [['x']], r'val_data\.json: entry 0: expected an object with video and'),
        ('val_data.json', [dict(video=3, description='x')], r'entry 0: expected a video name, fou'),
        (
            'val_data.json',
            [dict(video=NAMES[4], description=' ')],
            r"are empty, the first: .*avi', sentence 1 \(1009",
        ),
    ],
)
def test_bad_files(edit, file, content, message):
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        read_didemo(edit('didemo', file, content))
