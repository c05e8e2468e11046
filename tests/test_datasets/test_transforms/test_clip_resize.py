import numpy as np
import pytest

from ts2net_mm.datasets import CLIPResize


@pytest.mark.parametrize('shape', [(48, 64), (64, 48), (30, 30), (20, 90)])
def test_square_of_the_asked_size(shape):
    frames = [np.full((*shape, 3), level, dtype=np.uint8) for level in (7, 200)]
    found = CLIPResize(size=32)(dict(imgs=frames))
    assert [frame.shape for frame in found['imgs']] == [(32, 32, 3)] * 2
    assert [np.unique(frame).tolist() for frame in found['imgs']] == [[7], [200]]
    assert found['imgs'][0].dtype == np.uint8
    assert found['img_shape'] == (32, 32)


def test_the_centre_of_the_longer_side_stays():
    """Columns 20 to 59 of 80 are the middle square of 40."""
    frame = np.zeros((40, 80, 3), dtype=np.uint8)
    frame[:, 20:60] = 100
    frame[:, 20:40, 0] = 255
    (found,) = CLIPResize(size=20)(dict(imgs=[frame]))['imgs']
    assert (found[:, 2:8, 0] == 255).all()
    assert (found[:, 12:18, 0] == 100).all()
    assert found[:, 1:-1, 1].min() > 80


def test_fine_patterns_become_their_mean():
    """An eighth of the size: without antialiasing single pixels would remain."""
    board = np.indices((256, 256)).sum(axis=0) % 2 * 255
    frame = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    (found,) = CLIPResize(size=32)(dict(imgs=[frame]))['imgs']
    assert np.abs(found.astype(float) - 127.5).max() < 3


def test_colours_keep_their_order():
    frame = np.full((40, 40, 3), (10, 120, 250), dtype=np.uint8)
    (found,) = CLIPResize(size=20)(dict(imgs=[frame]))['imgs']
    assert found[5, 5].tolist() == [10, 120, 250]


def test_repr():
    assert repr(CLIPResize(size=20)) == 'CLIPResize(size=20)'
