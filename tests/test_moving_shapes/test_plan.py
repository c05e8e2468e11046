from collections import Counter

import numpy as np
import pytest

from ts2net_mm.moving_shapes import all_captions, plan_videos


@pytest.fixture(scope='module')
def plan():
    return plan_videos(0, 500)


def test_names_and_numbers(plan):
    assert {split: len(videos) for split, videos in plan.items()} == {
        'train': 500,
        'val': 200,
        'test': 200,
    }
    names = [video.name for videos in plan.values() for video in videos]
    assert len(set(names)) == len(names)
    assert plan['train'][123].name == 'train/000123.mp4'


def test_training_meanings_share_the_videos_evenly(plan):
    counts = Counter(video.meaning for video in plan['train'])
    assert len(counts) == 248
    assert set(counts.values()) == {2, 3}


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


def test_annotation(plan):
    paired, single = plan['test'][0], plan['train'][0]
    assert paired.annotation == {
        'captions': list(paired.captions),
        'meaning': str(paired.meaning),
        'reversal': paired.reversal,
    }
    assert set(single.annotation) == {'captions', 'meaning'}


def test_videos_differ_but_are_drawn_the_same_every_time(plan):
    same_meaning = [v for v in plan['train'] if v.meaning == plan['train'][0].meaning]
    first, second = same_meaning[:2]
    assert np.array_equal(first.draw(), first.draw())
    assert not np.array_equal(first.draw(), second.draw())


def test_a_video_depends_on_the_seed_but_not_on_how_many_there_are(plan):
    fewer, other = plan_videos(0, 3), plan_videos(1, 3)
    for ours, theirs in zip(fewer['train'], plan['train'], strict=False):
        assert ours.annotation == theirs.annotation
        assert np.array_equal(ours.draw(), theirs.draw())
    assert [v.annotation for v in other['test']] != [v.annotation for v in fewer['test']]
    assert not np.array_equal(other['train'][0].draw(), fewer['train'][0].draw())
