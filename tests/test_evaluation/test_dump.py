"""The similarity file."""

import numpy as np
import pytest

from ts2net_mm.evaluation import save_similarity


def write(path, **changes):
    """Save a small matrix, with some of its parts changed."""
    content = dict(
        similarity=np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        video_of_text=np.array([0, 0, 1]),
        video_ids=['a.mp4', 'кошка.mp4'],
        captions=['a cat', 'one cat, again', '猫 ends with a blank '],
    )
    save_similarity(path, **(content | changes))


def test_reads_back_without_pickle(tmp_path):
    path = tmp_path / 'new' / 'folder' / 'out.npz'
    write(path)
    with np.load(path, allow_pickle=False) as saved:
        assert sorted(saved) == ['captions', 'similarity', 'video_ids', 'video_of_text']
        assert saved['similarity'].dtype == np.float32
        np.testing.assert_array_equal(saved['similarity'], [[1, 2], [3, 4], [5, 6]])
        assert saved['video_of_text'].tolist() == [0, 0, 1]
        assert saved['video_ids'].tolist() == ['a.mp4', 'кошка.mp4']
        assert saved['captions'].tolist() == ['a cat', 'one cat, again', '猫 ends with a blank ']
    assert [file.name for file in path.parent.iterdir()] == ['out.npz']


def test_failure_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / 'out.npz'
    write(path)
    before = path.read_bytes()

    def fill_disk(file, **arrays):
        file.write(b'half')
        raise OSError('No space left on device')

    monkeypatch.setattr(np, 'savez', fill_disk)
    with pytest.raises(OSError, match='No space left'):
        write(path, captions=['x', 'y', 'z'])
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ['out.npz']
