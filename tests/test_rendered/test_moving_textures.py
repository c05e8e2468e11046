"""Moving textures: what the movement shows, and that single frames show nothing."""

from collections import Counter

import numpy as np
import pytest

from ts2net_mm.rendered.moving_textures import (
    DIRECTIONS,
    FRAME_SIZE,
    NUM_FRAMES,
    STEPS,
    Difficulty,
    Meaning,
    all_captions,
    all_meanings,
    moving_textures,
    sample_scene,
)


def _scene(direction, seed=0, **difficulty):
    rng = np.random.default_rng(seed)
    meaning = Meaning(direction, 'red', 'cyan')
    return sample_scene(meaning, rng, difficulty=Difficulty(**difficulty))


def _share_moved(direction, **difficulty):
    """Share of the dots of a frame that the next one shows a step away in its colour."""
    scene = _scene(direction, num_dots=400, num_colours=9, **difficulty)
    step = Difficulty(**difficulty).step * np.array(STEPS[direction])
    is_moved = np.isclose(np.diff(scene.positions, axis=0), step).all(axis=-1)
    return (is_moved & (np.diff(scene.colours, axis=0) == 0)).mean()


def test_meanings_and_their_reversals():
    meanings = set(all_meanings())
    assert len(meanings) == 4 * 8 * 8
    assert {meaning.reversal for meaning in meanings} == meanings
    assert str(Meaning('up', 'red', 'blue').reversal) == 'down, red above blue'
    assert all(meaning.reversal != meaning for meaning in meanings)


def test_a_caption_has_one_meaning():
    captions = [caption for meaning in all_meanings() for caption in all_captions(meaning)]
    assert len(captions) == len(set(captions)) == 256 * 6
    assert 'the ground is red above, cyan below, and dots rise' in all_captions(
        Meaning('up', 'red', 'cyan')
    )


def test_held_out_videos_are_reversal_pairs_and_training_has_every_part():
    plan = moving_textures().plan_videos(0, 256)
    assert {split: len(videos) for split, videos in plan.items()} == dict(
        train=256, val=64, test=64
    )
    train = {video.meaning for video in plan['train']}
    assert len(train) == 128
    for split in ('val', 'test'):
        assert not train & {video.meaning for video in plan[split]}
        for forward, backward in zip(plan[split][::2], plan[split][1::2], strict=True):
            assert backward.meaning == forward.meaning.reversal
            assert np.array_equal(backward.draw(), forward.draw()[::-1])
    parts = Counter(part for meaning in train for part in meaning.parts)
    assert len(parts) == 4 + 2 * 8
    assert min(parts.values()) >= 8


@pytest.mark.parametrize('direction', DIRECTIONS)
@pytest.mark.parametrize('grid', [12, 1])
def test_dots_move_as_the_meaning_says(direction, grid):
    inside = 1 - 12 / FRAME_SIZE  # the others leave the picture
    assert _share_moved(direction, grid=grid) == pytest.approx(inside, abs=0.04)


def test_difficulty_replaces_dots():
    inside = 1 - 6 / FRAME_SIZE
    easy = dict(step=6, grid=6)
    assert _share_moved('up', **easy) == pytest.approx(inside, abs=0.02)
    assert _share_moved('up', **easy, lifetime=4.0) == pytest.approx(0.75 * inside, abs=0.03)
    assert _share_moved('up', **easy, noise=0.4) == pytest.approx(0.6 * inside, abs=0.06)
    assert _share_moved('up', **easy, noise=1.0) < 0.02


@pytest.mark.parametrize('direction', DIRECTIONS)
@pytest.mark.parametrize(
    'difficulty',
    [{}, dict(lifetime=3.0, noise=0.2), dict(grid=1)],
    ids=['easy', 'hard', 'anywhere'],
)
def test_dots_are_uniform_in_every_frame(direction, difficulty):
    """Counts of dots in 4 x 4 x 3 cells of place and colour, against their expectation."""
    scenes = [_scene(direction, seed=seed, num_colours=3, **difficulty) for seed in range(300)]
    for frame in (0, NUM_FRAMES // 2, NUM_FRAMES - 1):
        positions = np.concatenate([scene.positions[frame] for scene in scenes])
        colours = np.concatenate([scene.colours[frame] for scene in scenes])
        assert (positions > -0.5).all() and (positions < FRAME_SIZE - 0.5).all()
        cells = np.column_stack([(positions + 0.5) // 12, colours]).astype(int)
        counts = np.array(list(Counter(map(tuple, cells)).values()))
        assert len(counts) == 48
        expected = len(positions) / 48
        # chi-square with 47 degrees of freedom: above 95 in 4 of 100,000 cases
        assert ((counts - expected) ** 2 / expected).sum() < 95


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        ({'num_dots': 0}, 'num_dots=0: expected at least 1'),
        ({'noise': 1.5}, 'noise=1.5: expected 0 to 1'),
        ({'lifetime': 0.5}, 'lifetime=0.5: expected 0, or more than 1'),
        ({'num_colours': 10}, 'num_colours=10: expected 1 to 9'),
        ({'grid': 5}, 'grid=5: expected a divisor of step=12 and of 48'),
        ({'grid': 24}, 'grid=24: expected a divisor of step=12 and of 48'),
        ({'step': 0}, 'step=0: expected 1 to 47'),
    ],
)
def test_wrong_difficulties_are_errors(setting, message):
    with pytest.raises(ValueError, match=message):
        Difficulty(**setting)


def test_drawn_dots_and_grounds_are_as_the_scene_says():
    scene = _scene('up', num_dots=2, num_colours=1)
    frames = scene.draw().astype(int)
    assert frames.shape == (NUM_FRAMES, FRAME_SIZE, FRAME_SIZE, 3)
    place = np.arange(FRAME_SIZE)
    for frame, positions in zip(frames, scene.positions, strict=True):
        offsets = [np.hypot(place - x, (place - y)[:, None]) for x, y in positions]
        distance = np.minimum(*offsets)
        assert (frame[distance < 3.4] == (230, 40, 40)).all()
        outside = distance > 4.6
        upper = (place < 24)[:, None] & outside
        lower = (place >= 24)[:, None] & outside
        assert (frame[upper] == (69, 12, 12)).all()
        assert (frame[lower] == (12, 63, 66)).all()


def test_boxes_are_the_whole_picture():
    assert _scene('left').boxes.tolist() == [[0, 0, 48, 48]] * NUM_FRAMES


def test_the_rule_solves_it_and_a_single_frame_does_not(load_tool):
    tool = load_tool('benchmarks/moving_textures.py')
    rng = np.random.default_rng(0)
    assert tool.rule_accuracy(Difficulty(), 20, rng) == 100
    assert tool.rule_accuracy(Difficulty(noise=1.0), 60, rng) < 50
    assert tool.probe_accuracy(Difficulty(), 100, rng) < 42  # chance is 25, and 4 sd
