"""Videos that are drawn in the loader."""

import pickle

import numpy as np
import pytest
from mmaction.registry import DATASETS
from mmengine.registry import init_default_scope

from ts2net_mm.datasets import DistinctGroupBatchSampler, RenderedVideoDataset
from ts2net_mm.rendered import rendered_set

PIPELINE = [
    dict(type='DrawVideo'),
    dict(type='SampleFrames', clip_len=2, frame_interval=1, num_clips=1),
    dict(type='VideoDecode'),
]


def build(**settings):
    init_default_scope('mmaction')
    own = dict(
        type='RenderedVideoDataset', rendered=dict(name='moving_textures'), num_train_videos=8
    )
    return DATASETS.build({**own, 'pipeline': PIPELINE, **settings})


@pytest.mark.parametrize('name', ['moving_shapes', 'moving_textures', 'small_objects'])
def test_it_has_the_videos_of_the_rendered_set(name):
    dataset = build(rendered=dict(name=name), one_caption_per_video=True, seed=3)
    planned = rendered_set(name).plan_videos(3, 8)['train']
    assert len(dataset) == 8
    for number in (0, 7):
        item, video = dataset[number], planned[number]
        assert item['video_id'] == video.name
        assert item['text'][0] in video.captions
        first = int(item['frame_inds'][0])
        assert np.array_equal(item['imgs'], video.draw()[first : first + 2])
        assert item['img_shape'] == item['imgs'][0].shape[:2]
        assert item['meaning'] == str(video.meaning)


def test_settings_change_the_videos():
    easy, hard = (
        build(rendered=dict(name='moving_textures', num_dots=n), test_mode=True, split='val')
        for n in (1, 9)
    )
    assert len(easy) == len(hard) == 64
    assert easy[0]['reversal'] == 'val/000001.mp4'
    assert easy[0]['imgs'][0].std() < hard[0]['imgs'][0].std()


def test_items_are_captions_videos_or_all_captions():
    assert len(build()) == 4 * 8
    assert len(build(one_caption_per_video=True)) == 8
    assert len(build(split='test', test_mode=True)[0]['text']) == 1


def test_it_can_be_grouped_and_sent_to_workers():
    dataset = build(one_caption_per_video=True)
    assert len(set(dataset.group_values('meaning'))) == 8

    class Sampler:
        epoch = seed = rank = 0
        world_size = 1

    sampler = Sampler()
    sampler.dataset = dataset
    (batch,) = DistinctGroupBatchSampler(sampler, 8, group='meaning')
    assert sorted(map(int, batch)) == list(range(8))
    copied: RenderedVideoDataset = pickle.loads(pickle.dumps(dataset))
    np.random.seed(0)
    first = dataset[5]
    np.random.seed(0)
    assert np.array_equal(copied[5]['imgs'], first['imgs'])


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(split='all'), "split='all' is unknown"),
        (dict(rendered=dict(name='shapes')), "rendered set 'shapes' is unknown, choose one of"),
        (dict(rendered=dict(name='moving_shapes', size=1)), 'moving_shapes has no settings'),
        (dict(rendered=dict(name='moving_textures', size=1)), 'moving_textures: .*size'),
        (dict(rendered=dict(name='moving_textures', noise=2)), 'noise=2: expected 0 to 1'),
    ],
)
def test_wrong_settings_are_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)
