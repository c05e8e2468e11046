"""Writing and reading similarity files, good and bad."""

import re

import numpy as np
import pytest

from ts2net_mm.evaluation import load_similarity, save_similarity
from ts2net_mm.evaluation.similarity_file import load_bank_similarity

ARRAYS = dict(
    similarity=np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32),
    video_of_text=np.array([0, 0, 1]),
    video_ids=np.array(['a.mp4', 'кошка.mp4']),
    captions=np.array(['a cat', 'one cat, again', '猫 ends with a blank ']),
    logit_scale=np.float64(50.0),
    bank_similarity=np.ones((4, 2), np.float32),
)


def write(path, **changes):
    """Write an .npz with some arrays changed, or removed where they are None."""
    np.savez(path, **{k: value for k, value in (ARRAYS | changes).items() if value is not None})
    return path


def test_reads_what_is_written(tmp_path):
    path = tmp_path / 'new' / 'folder' / 'out.npz'
    changes = dict(similarity=ARRAYS['similarity'].astype(np.float64), bank_captions=['q'] * 4)
    save_similarity(path, **(ARRAYS | changes))
    assert [file.name for file in path.parent.iterdir()] == ['out.npz']
    with np.load(path, allow_pickle=False) as saved:
        assert sorted(saved) == sorted([*ARRAYS, 'bank_captions'])
        assert saved['similarity'].dtype == saved['bank_similarity'].dtype == np.float32
        assert saved['bank_captions'].tolist() == ['q'] * 4
    test = load_similarity(path)
    assert test.similarity.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert test.video_of_text.tolist() == [0, 0, 1]
    assert test.video_ids == ['a.mp4', 'кошка.mp4']
    assert test.captions == ['a cat', 'one cat, again', '猫 ends with a blank ']
    assert test.logit_scale == 50.0
    np.testing.assert_array_equal(test.bank_similarity, np.ones((4, 2)))


def test_bank_and_scale_may_be_missing(tmp_path):
    missing = dict(logit_scale=None, bank_similarity=None)
    save_similarity(tmp_path / 'a.npz', **(ARRAYS | missing))
    for path in (tmp_path / 'a.npz', write(tmp_path / 'b.npz', **missing)):
        test = load_similarity(path)
        assert test.logit_scale is test.bank_similarity is None


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'out.npz'
    save_similarity(path, **ARRAYS)
    before = path.read_bytes()

    def fill_disk(file, **arrays):
        file.write(b'half')
        raise OSError('No space left on device')

    monkeypatch.setattr(np, 'savez', fill_disk)
    with pytest.raises(OSError, match='No space left'):
        save_similarity(path, **(ARRAYS | dict(captions=['x', 'y', 'z'])))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ['out.npz']


@pytest.mark.parametrize('changes', [{}, dict(video_ids=None, similarity=None)])
def test_bank_from_another_file(tmp_path, changes):
    path = write(tmp_path / 'bank.npz', **changes)
    bank = load_bank_similarity(path, ARRAYS['video_ids'].tolist())
    np.testing.assert_array_equal(bank, np.ones((4, 2)))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(similarity=None, captions=None), r"lacks the arrays \['similarity', 'captions'\], "),
        (dict(similarity=np.ones(3)), r'must be \(texts, videos\), got the shape \(3,\)'),
        (dict(similarity=np.ones((3, 1))), r'video_of_text\[2\] is 1, but there are 1 videos'),
        (dict(similarity=np.array([[1, np.nan]] * 3)), '3 NaN value.* first at text 0, video 1'),
        (dict(similarity=np.array([[1, np.inf]] * 3)), '3 NaN or infinite .* text 0, video 1'),
        (dict(video_of_text=np.array([0, 1])), r'each of the 3 texts, got the shape \(2,\)'),
        (dict(video_ids=np.array(['a'])), r'video_ids must hold 2 strings, got the shape \(1,\)'),
        (dict(captions=np.arange(3)), 'captions must hold 3 strings, .* the dtype int64'),
        (dict(logit_scale=np.float64('nan')), 'logit_scale is nan, expected one positive number'),
        (dict(logit_scale=np.ones(2)), r'logit_scale is \[1. 1.\], expected'),
        (dict(logit_scale=np.array('x')), 'logit_scale is x, expected'),
        (dict(bank_similarity=np.ones((4, 3))), 'bank_similarity has 3 videos, expected 2'),
        (dict(bank_similarity=np.full((1, 2), np.inf)), 'bank_similarity has 2 NaN or infinite'),
        (dict(captions=np.array([{}, [], ()], object)), 'not an .npz .* without pickle'),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, changes, message):
    path = write(tmp_path / 'bad.npz', **changes)
    with pytest.raises(ValueError, match=f'^{re.escape(str(path))}.*{message}'):
        load_similarity(path)


@pytest.mark.parametrize(
    'content', [b'', b'no matrix', b'PK\x03\x04 cut', b'\x80\x04N.', b'\x93NUMPY\x01\x00', None]
)
def test_other_and_truncated_files(tmp_path, content):
    path = tmp_path / 'other.npz'
    path.write_bytes(write(path).read_bytes()[:-200] if content is None else content)
    with pytest.raises(ValueError, match=f'^{re.escape(str(path))} is not an .npz that can be'):
        load_similarity(path)


def test_wrong_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match='similarity file nowhere.npz does not exist'):
        load_similarity('nowhere.npz')
    with pytest.raises(ValueError, match='is not an .npz .*: IsADirectoryError'):
        load_similarity(tmp_path)
    np.save(tmp_path / 'a.npy', np.ones((3, 2)))
    with pytest.raises(ValueError, match='a.npy is not .*: it holds one array without a name'):
        load_similarity(tmp_path / 'a.npy')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(bank_similarity=None), r"lacks the arrays \['bank_similarity'\], found \['capt"),
        (dict(bank_similarity=np.ones((4, 3))), 'bank_similarity has 3 videos, expected 2'),
        (dict(video_ids=np.array(['кошка.mp4', 'a.mp4'])), "video 0 is 'кошка.mp4', expected 'a."),
        (dict(video_ids=np.array(['a.mp4'])), 'video_ids must hold 2 strings'),
    ],
)
def test_banks_that_do_not_fit(tmp_path, changes, message):
    path = write(tmp_path / 'bank.npz', **changes)
    with pytest.raises(ValueError, match=message):
        load_bank_similarity(path, ARRAYS['video_ids'].tolist())
