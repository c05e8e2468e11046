"""Small objects: the named shape is small, in front, and where its boxes say."""

import numpy as np
import pytest

from ts2net_mm.rendered.moving_shapes import FRAME_SIZE, NUM_FRAMES, Meaning
from ts2net_mm.rendered.moving_shapes.scene import RGB
from ts2net_mm.rendered.small_objects import Difficulty, sample_scene, small_objects

MEANING = Meaning('cyan', 'circle', ('left', 'grows'))


def _scene(seed=0, **difficulty):
    return sample_scene(MEANING, np.random.default_rng(seed), difficulty=Difficulty(**difficulty))


@pytest.mark.parametrize('seed', range(5))
def test_the_named_object_is_seen_in_its_boxes_alone(seed):
    scene = _scene(seed)
    frames = scene.draw().astype(int)
    colour = np.abs(frames - RGB['cyan']).sum(axis=-1) < 60
    assert len(frames) == len(scene.boxes) == NUM_FRAMES
    for seen, (x0, y0, x1, y1), radius in zip(colour, scene.boxes, scene.named.radii, strict=True):
        assert seen[y0:y1, x0:x1].sum() > 0.6 * np.pi * (radius - 0.5) ** 2
        assert seen.sum() == seen[y0:y1, x0:x1].sum()
        assert min(x0, y0) >= 0 and max(x1, y1) <= FRAME_SIZE
        assert max(x1 - x0, y1 - y0) <= 2 * 6 + 2


def test_what_is_not_named_is_larger_or_grey():
    for seed in range(20):
        scene = _scene(seed, num_distractors=2)
        assert len(scene.distractors) == 2
        for shape in scene.distractors:
            assert shape.colour != 'cyan'
            assert shape.radii.min() > scene.named.radii.max()
        red, green, blue = np.moveaxis(scene.background.astype(int), -1, 0)
        assert (red == green).all() and (green == blue).all()


def test_difficulty_adds_clutter():
    def spread(num_clutter):
        return np.mean([_scene(s, num_clutter=num_clutter).background.std() for s in range(5)])

    assert spread(0) < 9 < spread(30)


def test_the_object_shows_the_meaning():
    centres, radii = _scene().named.centres, _scene().named.radii
    half = NUM_FRAMES // 2
    assert (np.diff(centres[:half, 0]) < 0).all()
    assert np.allclose(centres[:, 1], centres[0, 1])
    assert radii[-1] / radii[0] > 1.8


def test_a_reversed_video_has_reversed_boxes():
    videos = small_objects().plan_videos(0, 1)['test']
    first, second = videos[:2]
    assert second.name == first.reversal
    assert np.array_equal(first.locate(), second.locate()[::-1])
    assert np.array_equal(first.draw(), second.draw()[::-1])


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        ({'radius': 9.0}, 'radius=9.0: expected 1 to 8'),
        ({'num_clutter': -1}, 'num_clutter=-1: expected at least 0'),
    ],
)
def test_wrong_difficulties_are_errors(setting, message):
    with pytest.raises(ValueError, match=message):
        Difficulty(**setting)
