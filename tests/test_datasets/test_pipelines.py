"""The pipelines of the configs on real files, from the annotation to what the model gets."""

from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.runner import Runner

CONFIGS = Path(__file__).parents[2] / 'configs'
CAPTIONS = {'long.mp4': ['one', 'one again', 'and again'], 'short': ['two'], 'mid.mp4': ['x', 'y']}
SECONDS = {'long.mp4': 4, 'short.mp4': 1, 'mid.mp4': 2}


@pytest.fixture
def annotation(write_video) -> dict:
    """Videos of 4, 1 and 2 seconds."""
    for name, seconds in SECONDS.items():
        write_video(name, num_frames=12 * seconds, fps=12)
    return {
        name: dict(captions=captions, meaning=name, reversal='long.mp4')
        for name, captions in CAPTIONS.items()
    }


@pytest.fixture
def build_loader(annotation, write_annotation, videos):
    """Function that builds a data loader of a config over three videos, as the Runner does."""

    def build(config: str, split: str, batch_size: int, **settings):
        cfg = Config.fromfile(CONFIGS / config)
        loader = cfg[f'{split}_dataloader']
        loader.update(dict(num_workers=0, persistent_workers=False, batch_size=batch_size))
        loader.update(settings)
        loader.dataset.update(
            data_root='',
            ann_file=write_annotation(annotation),
            data_prefix=dict(video=str(videos)),
        )
        return Runner.build_dataloader(loader, seed=0)

    return build


@pytest.fixture
def preprocessor():
    """Pixels minus 100, divided by 50."""
    cfg = dict(type='TextVideoDataPreprocessor', mean=[100.0] * 3, std=[50.0] * 3)
    return MODELS.build(cfg)


def test_paper_protocol_in_testing(build_loader, preprocessor):
    (batch,) = build_loader('_base_/datasets/text-video_12x32.py', 'test', 3)
    assert [imgs.shape for imgs in batch['inputs']['imgs']] == [(12, 3, 224, 224)] * 3
    assert {imgs.dtype for imgs in batch['inputs']['imgs']} == {torch.uint8}

    data = preprocessor(batch, training=False)
    inputs, samples = data['inputs'], data['data_samples']
    assert inputs['imgs'].shape == (3, 12, 3, 224, 224)
    assert inputs['text'].shape == (6, 32)
    assert inputs['text'].dtype == torch.int64
    assert inputs['num_captions'] == [3, 1, 2]
    assert inputs['frame_mask'].sum(dim=1).tolist() == [4, 1, 2]
    assert [sample.video_id for sample in samples] == list(CAPTIONS)
    assert [sample.captions for sample in samples] == list(CAPTIONS.values())
    # frame i of a file is grey of level 10 + 4 i, one frame a second is taken; padding is zero
    for imgs, seconds in zip(inputs['imgs'], SECONDS.values(), strict=True):
        levels = imgs[:seconds].mean(dim=(1, 2, 3)) * 50 + 100
        expected = torch.tensor([10.0 + 4 * 12 * second for second in range(seconds)])
        torch.testing.assert_close(levels, expected, atol=4, rtol=0)
        assert (imgs[seconds:] == 0).all()


def test_paper_protocol_in_training(build_loader, preprocessor):
    loader = build_loader('_base_/datasets/text-video_12x32.py', 'train', 3)
    batches = list(loader)
    assert len(batches) == len(loader) == 2
    seen = []
    for batch in batches:
        data = preprocessor(batch, training=True)
        assert data['inputs']['imgs'].shape == (3, 12, 3, 224, 224)
        assert data['inputs']['text'].shape == (3, 32)
        assert data['inputs']['num_captions'] == [1, 1, 1]
        seen += [(sample.video_id, *sample.captions) for sample in data['data_samples']]
    pairs = [(name, caption) for name, captions in CAPTIONS.items() for caption in captions]
    assert sorted(seen) == sorted(pairs)


def test_parts_of_a_video(build_loader, preprocessor, annotation):
    annotation['long.mp4'] |= dict(start=1, end=2)
    (batch,) = build_loader('_base_/datasets/text-video_12x32.py', 'test', 3)
    inputs = preprocessor(batch, training=False)['inputs']
    assert inputs['frame_mask'].sum(dim=1).tolist() == [2, 1, 2]
    levels = inputs['imgs'][0, :2].mean(dim=(1, 2, 3)) * 50 + 100
    torch.testing.assert_close(levels, torch.tensor([58.0, 106.0]), atol=4, rtol=0)


def test_mmaction2s_own_transforms(annotation, make_dataset):
    pipeline = [
        dict(type='DecordInit'),
        dict(type='SampleFramesByRate', num_frames=3),
        dict(type='DecordDecode'),
        dict(type='Resize', scale=(-1, 32), interpolation='bicubic'),
        dict(type='CenterCrop', crop_size=32),
        dict(type='FormatShape', input_format='NCHW'),
        dict(type='TokenizeCaptions', max_words=8),
        dict(type='PackActionInputs', collect_keys=('imgs', 'text', 'frame_mask')),
    ]
    inputs = make_dataset(annotation, pipeline, test_mode=True)[2]['inputs']
    assert inputs['imgs'].shape == (3, 3, 32, 32)
    assert inputs['frame_mask'].tolist() == [True, True, False]
    levels = inputs['imgs'].float().mean(dim=(1, 2, 3))
    torch.testing.assert_close(levels, torch.tensor([10.0, 58.0, 58.0]), atol=4, rtol=0)


def test_moving_shapes_in_training(build_loader, preprocessor):
    loader = build_loader('ts2net_moving-shapes.py', 'train', 2)
    (batch,) = loader
    data = preprocessor(batch, training=True)
    inputs, samples = data['inputs'], data['data_samples']
    assert inputs['imgs'].shape == (2, 6, 3, 48, 48)
    assert len(inputs['text']) == 2
    assert inputs['frame_mask'].all()
    assert samples[0].video_id != samples[1].video_id
    for sample in samples:
        assert sample.captions[0] in CAPTIONS[sample.video_id]


def test_moving_shapes_in_testing(build_loader, preprocessor):
    (batch,) = build_loader('ts2net_moving-shapes.py', 'test', 3)
    data = preprocessor(batch, training=False)
    inputs = data['inputs']
    assert inputs['imgs'].shape == (3, 6, 3, 48, 48)
    assert inputs['frame_mask'].shape == (3, 6)
    assert inputs['frame_mask'].all()
    assert inputs['num_captions'] == [3, 1, 2]
    assert [sample.reversal for sample in data['data_samples']] == ['long.mp4'] * 3
    # later frames are brighter, in every video
    levels = inputs['imgs'].mean(dim=(2, 3, 4))
    assert (levels.diff(dim=1) > 0).all()
