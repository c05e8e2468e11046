"""Moving textures: what the movement shows, and that single frames show nothing."""

from collections import Counter

import numpy as np
import pytest

from ts2net_mm.rendered.moving_textures import (
    FRAME_SIZE,
    MOTIONS,
    NUM_FRAMES,
    Difficulty,
    Meaning,
    Motion,
    all_captions,
    all_meanings,
    moving_textures,
    sample_scene,
)

HALF = FRAME_SIZE / 2
CENTRE = np.array([HALF / 2, FRAME_SIZE / 2])
FAST = [Motion(kind, 'fast') for kind in MOTIONS]


def _scene(left, right=None, seed=0, **difficulty):
    rng = np.random.default_rng(seed)
    return sample_scene(Meaning((left, right)), rng, difficulty=Difficulty(**difficulty))


def _tracks(motion, **difficulty):
    """Positions before and after a step of the dots of the left half that were not replaced."""
    before, after = [], []
    for seed in range(20):
        scene = _scene(motion, seed=seed, num_dots=30, num_colours=9, **difficulty)
        first, second = scene.positions[0, :30], scene.positions[1, :30]
        near = np.hypot(*(second - first).T) < 12
        before.append(first[near])
        after.append(second[near])
    return np.concatenate(before), np.concatenate(after)


def test_meanings_and_their_reversals():
    meanings = set(all_meanings())
    assert len(meanings) == 17**2 - 1
    assert {meaning.reversal for meaning in meanings} == meanings
    meaning = Meaning((Motion('clockwise', 'slow'), Motion('up', 'fast')))
    assert str(meaning.reversal) == 'left: anticlockwise slow, right: down fast'
    assert all(meaning.reversal != meaning for meaning in meanings)


def test_a_caption_has_one_meaning():
    captions = [caption for meaning in all_meanings() for caption in all_captions(meaning)]
    assert len(captions) == len(set(captions)) == 32 * 8 + 256 * 256
    meaning = Meaning((Motion('expands', 'fast'), None))
    assert 'the dots on the left spread out fast' in all_captions(meaning)


def test_splits_leave_every_movement_of_each_half_in_training():
    plan = moving_textures().plan_videos(0, 256)
    assert {split: len(videos) for split, videos in plan.items()} == dict(
        train=256, val=80, test=80
    )
    train = {video.meaning for video in plan['train']}
    assert len(train) == 128
    assert not train & {video.meaning for split in ('val', 'test') for video in plan[split]}
    parts = Counter(part for meaning in train for part in meaning.parts)
    assert len(parts) == 2 * 17
    assert min(parts.values()) >= 3


def test_a_named_ground_is_seen_and_said():
    data_set = moving_textures(Difficulty(num_grounds=2, num_dots=1))
    meanings = data_set.all_meanings()
    assert len(meanings) == 2 * 288
    video = data_set.plan_videos(0, 1)['train'][0]
    colour = video.meaning.ground
    assert colour in ('red', 'green')
    assert all(caption.startswith(f'on {colour} ground ') for caption in video.captions)
    assert str(video.meaning).startswith(f'ground: {colour}, ')
    assert video.meaning.reversal.ground == colour
    red, green, _ = np.median(video.draw().reshape(-1, 3), axis=0)
    assert (red > green) == (colour == 'red')


@pytest.mark.parametrize('kind', MOTIONS)
def test_dots_move_as_the_meaning_says(kind):
    before, after = _tracks(Motion(kind, 'fast'))
    # dots that were replaced nearby are few
    step = np.median(after - before, axis=0)
    directions = {'left': (-8, 0), 'right': (8, 0), 'up': (0, -8), 'down': (0, 8)}
    if kind in directions:
        assert np.allclose(step, directions[kind])
        return
    radius, moved = before - CENTRE, after - CENTRE
    turned = radius[:, 0] * moved[:, 1] - radius[:, 1] * moved[:, 0]  # above 0: right to down
    outwards = np.hypot(*moved.T) - np.hypot(*radius.T)
    if kind in ('clockwise', 'anticlockwise'):
        assert np.median(np.sign(turned)) == (1 if kind == 'clockwise' else -1)
        assert np.median(np.abs(outwards)) < 1e-9
    else:
        assert np.median(np.sign(outwards)) == (1 if kind == 'expands' else -1)
        assert np.median(np.abs(turned)) < 1e-6 * FRAME_SIZE**2


@pytest.mark.parametrize('motion', [None, *FAST], ids=str)
@pytest.mark.parametrize('difficulty', [{}, {'lifetime': 3.0, 'noise': 0.2}], ids=['easy', 'hard'])
def test_dots_are_uniform_in_every_frame(motion, difficulty):
    """Counts of dots in 4 x 2 x 3 cells of place and colour, against their expectation."""
    scenes = [_scene(motion, seed=seed, num_colours=3, **difficulty) for seed in range(200)]
    for frame in (0, NUM_FRAMES // 2, NUM_FRAMES - 1):
        positions = np.concatenate([scene.positions[frame, :6] for scene in scenes])
        colours = np.concatenate([scene.colours[frame, :6] for scene in scenes])
        assert (positions >= 0).all() and (positions < (HALF, FRAME_SIZE)).all()
        cells = np.column_stack([positions // (HALF / 2, FRAME_SIZE / 4), colours]).astype(int)
        counts = np.array(list(Counter(map(tuple, cells)).values()))
        assert len(counts) == 24
        expected = len(positions) / 24
        # chi-square with 23 degrees of freedom: above 60 in 4 of 100,000 cases
        assert ((counts - expected) ** 2 / expected).sum() < 60


@pytest.mark.parametrize('kind', ['left', 'clockwise', 'expands'])
def test_a_video_played_backwards_is_one_of_the_reversal(kind):
    """Compare how many dots survive a step, and where those that do come from."""
    motion = Motion(kind, 'fast')
    after, before = _tracks(motion.reversal)  # backwards
    first, second = _tracks(motion)
    assert len(before) == pytest.approx(len(first), rel=0.15)
    for ours, theirs in ((first, before), (second, after)):
        error = 4 * HALF / np.sqrt(len(ours))
        assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) < error).all()


def test_difficulty_replaces_dots():
    def share_moved(**difficulty):
        scene = _scene(Motion('up', 'slow'), num_dots=400, **difficulty)
        steps = np.diff(scene.positions[:, :400], axis=0)
        return np.isclose(steps, (0, -4)).all(axis=-1).mean()

    inside = 1 - 4 / FRAME_SIZE
    assert share_moved() == pytest.approx(inside, abs=0.02)
    assert share_moved(lifetime=4.0) == pytest.approx(0.75 * inside, abs=0.02)
    assert share_moved(noise=0.4) == pytest.approx(0.6 * inside, abs=0.05)
    assert share_moved(noise=1.0) == 0


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        ({'num_dots': 0}, 'num_dots=0: expected at least 1'),
        ({'noise': 1.5}, 'noise=1.5: expected 0 to 1'),
        ({'lifetime': 0.5}, 'lifetime=0.5: expected 0, or more than 1'),
        ({'num_colours': 10}, 'num_colours=10: expected 1 to 9'),
    ],
)
def test_wrong_difficulties_are_errors(setting, message):
    with pytest.raises(ValueError, match=message):
        Difficulty(**setting)


def test_drawn_dots_are_where_the_scene_says():
    scene = _scene(Motion('up', 'slow'), Motion('down', 'slow'), num_dots=1, num_colours=1)
    frames = scene.draw()
    assert frames.shape == (NUM_FRAMES, FRAME_SIZE, FRAME_SIZE, 3)
    for frame, positions in zip(frames, scene.positions, strict=True):
        red = frame[..., 0] > 130
        rows, columns = np.nonzero(red)
        for x, y in positions:
            inside = 3 <= x < FRAME_SIZE - 3 and 3 <= y < FRAME_SIZE - 3
            assert not inside or red[round(y), round(x)]
        distance = np.hypot(columns - positions[:, :1], rows - positions[:, 1:]).min(axis=0)
        assert (distance <= 2.5).all()


@pytest.mark.parametrize(
    ('left', 'right', 'box'),
    [
        (FAST[0], None, [0, 0, 24, 48]),
        (None, FAST[0], [24, 0, 48, 48]),
        (FAST[0], FAST[1], [0, 0, 48, 48]),
    ],
)
def test_boxes_are_the_part_that_moves(left, right, box):
    assert _scene(left, right).boxes.tolist() == [box] * NUM_FRAMES


def test_the_rule_solves_it_and_a_single_frame_does_not(load_tool):
    tool = load_tool('benchmarks/moving_textures.py')
    rng = np.random.default_rng(0)
    assert tool.rule_accuracy(Difficulty(), 17, rng) > 90
    assert tool.probe_accuracy(Difficulty(), 68, rng) < 15  # chance is 6
