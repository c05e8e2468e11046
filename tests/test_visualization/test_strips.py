"""What is drawn are the recorded values, where they belong."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from matplotlib.quiver import Quiver

from ts2net_mm.visualization import draw_strips, stack_strips
from ts2net_mm.visualization.strips import make_figure
from ts2net_mm.visualization.subjects import SUBJECTS


@pytest.fixture(scope='module')
def found(build, record):
    return record(build(), seconds=np.arange(5) / 2)


def parts(figure, label):
    return [axes for axes in figure.axes if axes.get_label() == label]


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def outlined(axes):
    """Rows and columns of the patches with a border."""
    boxes = [box for box in axes.patches if isinstance(box, Rectangle)]
    return sorted((int(box.get_y()), int(box.get_x())) for box in boxes)


def test_bars_are_the_frame_weights(found):
    figure = make_figure(found, 'frames')
    for frame in range(4):
        (axes,) = parts(figure, f'bar {frame}')
        assert axes.patches[0].get_height() == found.frame_weights[frame]
        assert axes.lines[0].get_ydata()[0] == 0.25
    assert not parts(figure, 'bar 4')
    assert texts(figure).count('padding') == 1
    assert {'0.00 s', '1.50 s', f'cosine {found.cosines[2]:.3f}'} <= set(texts(figure))
    assert any('a $5 circle, then a $10 one' in text for text in texts(figure))


def test_patches_are_as_clear_as_they_are_kept(found):
    figure = make_figure(found, 'chosen')
    for frame in range(4):
        (axes,) = parts(figure, f'picture {frame}')
        picture, veil = (image.get_array() for image in axes.images)
        np.testing.assert_array_equal(picture, found.frames[frame])
        clear = 1 - veil[..., 3].ravel() / 0.85
        np.testing.assert_allclose(clear, found.kept[frame].clip(0, 1), atol=1e-6)
        expected = [divmod(patch, 4) for patch in range(16) if found.kept[frame, patch] >= 0.5]
        assert outlined(axes) == expected
    assert len(parts(figure, 'picture 4')[0].images) == 1


def test_maps_are_scores_and_weights(found):
    scores, slots = make_figure(found, 'scores'), make_figure(found, 'slots')
    for frame in range(4):
        (axes,) = parts(scores, f'picture {frame}')
        drawn = axes.images[1]
        np.testing.assert_allclose(drawn.get_array().ravel(), found.scores[frame])
        assert drawn.get_clim() == (found.scores[:4].min(), found.scores[:4].max())
        for slot in range(3):
            (axes,) = parts(slots, f'slot {slot} {frame}')
            weights = axes.images[0].get_array().ravel()
            np.testing.assert_allclose(weights, found.selection[frame, slot])
            assert axes.images[0].get_clim() == (0, 1)


def test_arrows_point_from_where_tokens_come(found):
    figure = make_figure(found, 'shift')
    for frame in range(4):
        (axes,) = parts(figure, f'picture {frame}')
        arrows = {
            (int(y), int(x)): np.sign(step)
            for quiver in axes.collections
            if isinstance(quiver, Quiver)
            for x, y, step in zip(quiver.X, quiver.Y, quiver.U, strict=True)
        }
        origin = found.origins[frame, 1:].argmax(axis=-1)
        moved = {divmod(patch, 4): frame - origin[patch] for patch in range(16)}
        assert arrows == {place: step for place, step in moved.items() if step}
        assert outlined(axes) == sorted(arrows)
        for (row, column), step in moved.items():
            place = np.s_[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            expected = found.frames[frame - step][place]
            np.testing.assert_array_equal(axes.images[0].get_array()[place], expected)


def test_a_cls_that_moves_is_written_below(found):
    origins = found.origins.copy()
    origins[1, 0] = [0.5, 0, 0.5, 0, 0]
    drawn = texts(make_figure(replace(found, origins=origins), 'shift'))
    assert [text for text in drawn if text.startswith('[CLS]')] == ['[CLS] →←']
    assert not any(text.startswith('[CLS]') for text in texts(make_figure(found, 'shift')))


def test_sizes_fit_the_frames(found):
    for count, columns, rows in ((1, 5, 1), (5, 5, 1), (12, 12, 1), (13, 12, 2)):
        index = np.arange(count) % 4
        fields = ('frames', 'seconds', 'frame_mask', 'cosines', 'scores', 'selection')
        many = replace(found, **{name: getattr(found, name)[index] for name in fields})
        (strip,) = draw_strips(many, ['scores'])
        height, width, channels = strip.image.shape
        assert (width, channels) == (round(1.5 * (8 + 140 * columns)), 3)
        assert 0 < height - 1.5 * 140 * rows < 100
        assert strip.image.dtype == np.uint8
    strips = draw_strips(found)
    assert [strip.name for strip in strips] == list(SUBJECTS)
    assert stack_strips(strips).shape[0] == sum(strip.image.shape[0] for strip in strips)


@pytest.mark.filterwarnings('error')
def test_an_absent_part_is_a_line(build, record):
    found = record(build(backbone=dict(shift_layers=()), neck=dict(type='CLSOnly')))
    notes = {strip.name: strip.note for strip in draw_strips(found)}
    assert notes['chosen'] == notes['slots'] == 'Not in this model: CLSOnly keeps no patches.'
    assert notes['shift'] == 'Not in this model: its TokenShiftViT shifts no tokens.'
    assert 'similarity' in notes['frames']
    lines = [make_figure(found, name) for name in ('chosen', 'scores', 'slots', 'shift')]
    assert all(len(figure.axes) == 1 for figure in lines)
