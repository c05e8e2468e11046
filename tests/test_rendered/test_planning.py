import hashlib
import json
from collections import Counter

import numpy as np
import pytest

from ts2net_mm.rendered import split_meanings
from ts2net_mm.rendered.moving_shapes import MOVING_SHAPES, all_captions, all_meanings


@pytest.fixture(scope='module')
def plan():
    return MOVING_SHAPES.plan_videos(0, 500)


def test_splits_share_no_meaning(plan):
    meanings = {split: {video.meaning for video in videos} for split, videos in plan.items()}
    assert len(meanings['val']) == 200
    assert len(meanings['test']) == 200
    assert not meanings['train'] & meanings['val']
    assert not meanings['train'] & meanings['test']
    assert not meanings['val'] & meanings['test']


def test_captions_say_the_meaning(plan):
    for split, videos in plan.items():
        for video in videos:
            assert len(set(video.captions)) == (4 if split == 'train' else 1)
            assert set(video.captions) <= set(all_captions(video.meaning))


def test_held_out_captions_use_no_new_word(plan):
    words = {
        split: {word for video in videos for text in video.captions for word in text.split()}
        for split, videos in plan.items()
    }
    assert words['val'] | words['test'] <= words['train']


@pytest.mark.parametrize('split', ['val', 'test'])
def test_reversal_pairs_point_at_each_other(plan, split):
    videos = {video.name: video for video in plan[split]}
    paired = [video for video in videos.values() if video.reversal]
    assert len(paired) == 100
    for video in paired:
        counterpart = videos[video.reversal]
        assert counterpart.reversal == video.name
        assert counterpart.meaning == video.meaning.reversal != video.meaning
    assert all(video.reversal is None for video in plan['train'])


def test_pair_is_one_video_forwards_and_backwards(plan):
    videos = {video.name: video for video in plan['test']}
    first = plan['test'][0]
    frames = first.draw()
    assert not np.array_equal(frames, frames[::-1])
    assert np.array_equal(videos[first.reversal].draw(), frames[::-1])


def test_a_version_means_these_videos(plan):
    """Measured results depend on them: whoever changes them raises the version."""
    entries = {video.name: video.annotation for videos in plan.values() for video in videos}
    digest = hashlib.sha256(json.dumps(entries).encode()).hexdigest()
    assert (MOVING_SHAPES.version, digest[:12]) == (2, 'cfd0bfbab72a')
    means = [plan[split][number].draw().mean() for split in plan for number in (0, 7)]
    assert means == pytest.approx([22.3262, 69.0927, 49.604, 48.9374, 65.1415, 49.1781], abs=1e-3)


def test_a_video_depends_on_the_seed_but_not_on_how_many_there_are(plan):
    fewer, other = MOVING_SHAPES.plan_videos(0, 3), MOVING_SHAPES.plan_videos(1, 3)
    for ours, theirs in zip(fewer['train'], plan['train'], strict=False):
        assert ours.annotation == theirs.annotation
        assert np.array_equal(ours.draw(), theirs.draw())
    assert [v.annotation for v in other['test']] != [v.annotation for v in fewer['test']]
    assert not np.array_equal(other['train'][0].draw(), fewer['train'][0].draw())


SEEDS = range(5)


def _split(seed):
    return split_meanings(all_meanings(), np.random.default_rng(seed), 100, 100)


@pytest.mark.parametrize('seed', SEEDS)
def test_each_meaning_is_in_one_part(seed):
    split = _split(seed)
    parts = [list(split.train), split.val.meanings, split.test.meanings]
    assert [len(part) for part in parts] == [248, 200, 200]
    assert sorted(sum(parts, [])) == sorted(all_meanings())


@pytest.mark.parametrize('seed', SEEDS)
def test_pairs_are_reversals(seed):
    split = _split(seed)
    assert len(split.test.pairs) == 50
    assert len(split.val.pairs) == 50
    for first, second in split.test.pairs + split.val.pairs:
        assert first.reversal == second
        assert first != second


@pytest.mark.parametrize('seed', SEEDS)
def test_training_shows_every_part_of_what_is_tested(seed):
    train = _split(seed).train
    sequences = Counter(meaning.events for meaning in train)
    assert len(sequences) == 36
    assert min(sequences.values()) >= 4
    objects = Counter((meaning.colour, meaning.shape) for meaning in train)
    assert len(objects) == 18
    assert min(objects.values()) >= 12
    events = {(meaning.colour, event) for meaning in train for event in meaning.events}
    assert len(events) == 9 * 6


@pytest.mark.parametrize('seed', SEEDS)
def test_held_out_meanings_are_spread_evenly(seed):
    split = _split(seed)
    for part in (split.test, split.val):
        counts = Counter(meaning.events for meaning in part.meanings).values()
        assert (min(counts), max(counts)) == (5, 6)
