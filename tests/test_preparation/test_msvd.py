import json
import pickle

import pytest

from ts2net_mm.preparation import read_msvd


@pytest.fixture(scope='module')
def msvd(prepared):
    return prepared('msvd', read_msvd)


def test_splits_with_all_captions(msvd, miniatures):
    ids = [f'-4wsuPCjDB{letter}_{n}_{n + 5}' for n, letter in enumerate('cdefghijkl')]
    assert list(msvd.train) == [f'{ids[n]}.{"mp4" if n == 1 else "avi"}' for n in range(5)]
    assert list(msvd.val) == [f'{ids[n]}.avi' for n in (5, 9)]
    assert list(msvd.test) == [f'{one}.avi' for one in ids[6:9]]
    assert [len(captions) for captions in msvd.test.values()] == [2, 3, 4]
    assert msvd.test[f'{ids[7]}.avi'] == [miniatures.sentence(ids[7], n) for n in range(3)]
    assert msvd.lists == {'missing_videos': [ids[1]]}


@pytest.mark.parametrize(
    ('file', 'content', 'message'),
    [
        (
            'val_list.txt',
            None,
            r'lacks val_list\.txt; expected: train_list\.txt, val_list\.txt, test',
        ),
        (
            'raw-captions.pkl',
            None,
            r'lacks raw-captions\.pkl; expected: that, or one \.json with t',
        ),
        ('raw-captions.pkl', pickle.dumps([]), r'expected {video id: \[token list, \.\.\.\]}, fo'),
        ('raw-captions.pkl', pickle.dumps({'a': 'x'}), r"'a': expected a list of token lists, fou"),
        ('raw-captions.pkl', pickle.dumps({'a': [['x'], []]}), r"empty, .*'a', caption 1 \(a\)"),
    ],
)
def test_bad_files(edit, file, content, message):
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        read_msvd(edit('msvd', file, content))


def test_captions_may_be_sentences(edit):
    captions = {one: ['a b'] for one in ('-4wsuPCjDBc_0_5', '-4wsuPCjDBh_5_10', '-4wsuPCjDBi_6_11')}
    annotations = read_msvd(edit('msvd', 'raw-captions.pkl', pickle.dumps(captions)))
    assert [split.clips[0].captions for split in annotations.splits] == [['a b']] * 3


def test_sentences_as_json(edit, msvd):
    with_pickle = read_msvd(msvd.mini.annotations)
    folder = edit('msvd', 'raw-captions.pkl', None)
    sentences = {
        clip.video_id: clip.captions for split in with_pickle.splits for clip in split.clips
    }
    (folder / 'MSVD_captions.json').write_text(json.dumps(sentences), encoding='utf-8')
    annotations = read_msvd(folder)
    assert [split.clips for split in annotations.splits] == [s.clips for s in with_pickle.splits]
