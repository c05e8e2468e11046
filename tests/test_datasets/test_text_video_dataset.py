"""Items of the data set, missing videos, and MMEngine's wrappers around it."""

import logging

import numpy as np
import pytest
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmengine.registry import DATASETS
from torch.utils.data import Subset

from ts2net_mm.datasets import TextVideoDataset
from ts2net_mm.datasets.text_video_dataset import group_values, inner_datasets

THREE = {
    'a.mp4': ['one', 'two'],
    'b': {'captions': ['three'], 'start': 1, 'end': 2, 'meaning': 'red', 'place': {'x': [1]}},
    'c.mp4': ['four', 'five', 'six'],
}


@pytest.fixture
def three_files(videos):
    """Files under the names of THREE; nothing reads them."""
    for name in ('a.mp4', 'b.mp4', 'c.mp4'):
        (videos / name).touch()


@pytest.mark.usefixtures('three_files')
def test_training_takes_every_pair(make_dataset, videos):
    items = list(make_dataset(THREE))
    assert [(item['video_id'], item['captions']) for item in items] == [
        ('a.mp4', ['one']),
        ('a.mp4', ['two']),
        ('b', ['three']),
        ('c.mp4', ['four']),
        ('c.mp4', ['five']),
        ('c.mp4', ['six']),
    ]
    assert all(item['text'] == item['captions'] for item in items)
    # a name without extension is an MP4
    assert [items[n]['filename'] for n in (0, 2)] == [f'{videos}/a.mp4', f'{videos}/b.mp4']
    fields = {key: items[2][key] for key in THREE['b'] if key != 'captions'}
    assert fields == dict(start=1, end=2, meaning='red', place={'x': [1]})
    assert 'meaning' not in items[0]


@pytest.mark.usefixtures('three_files')
def test_positional_arguments_of_mmaction2s_data_sets(videos, write_annotation):
    dataset = TextVideoDataset(write_annotation(THREE), [], dict(video=str(videos)), True)
    assert [len(item['text']) for item in dataset] == [2, 1, 3]


@pytest.mark.usefixtures('three_files')
def test_captions_that_mmaction2s_tokenizer_would_drop(make_dataset):
    pipeline = (dict(type='CLIPTokenize'),)
    annotation = {'c.mp4': ['four'], 'a.mp4': ['one', 'two']}
    assert len(make_dataset(annotation, pipeline)) == 3
    with pytest.raises(ValueError, match="'a.mp4' has 2 captions, of which CLIPTokenize keeps"):
        make_dataset(annotation, pipeline, test_mode=True)


@pytest.mark.usefixtures('three_files')
@pytest.mark.parametrize('one_caption_per_video', [False, True])
def test_testing_takes_videos_with_all_captions(make_dataset, one_caption_per_video):
    dataset = make_dataset(THREE, test_mode=True, one_caption_per_video=one_caption_per_video)
    items = [dataset[index] for index in range(len(dataset))]
    assert [item['video_id'] for item in items] == ['a.mp4', 'b', 'c.mp4']
    assert [item['text'] for item in items] == [['one', 'two'], ['three'], ['four', 'five', 'six']]


@pytest.mark.usefixtures('three_files')
def test_one_caption_per_video_draws_anew_each_epoch(make_dataset):
    np.random.seed(0)
    dataset = make_dataset(THREE, one_caption_per_video=True)
    assert len(dataset) == 3
    epochs = [tuple(dataset[index]['text'][0] for index in range(3)) for _ in range(60)]
    drawn = [set(captions) for captions in zip(*epochs, strict=True)]
    assert drawn == [{'one', 'two'}, {'three'}, {'four', 'five', 'six'}]
    assert all(len(dataset[index]['captions']) == 1 for index in range(3))


def test_group_values(make_dataset, three_files):
    names = ['a.mp4', 'a.mp4', 'b', 'c.mp4', 'c.mp4', 'c.mp4']
    three = make_dataset(THREE)
    assert three.group_values() == names
    assert make_dataset(THREE, test_mode=True).group_values() == ['a.mp4', 'b', 'c.mp4']
    with pytest.raises(KeyError, match=r"annotation\.json: 'a\.mp4' has no field 'meaning'"):
        three.group_values('meaning')
    meanings = {
        name: {'captions': ['x', 'y'], 'meaning': m} for name, m in zip('abc', 'rgr', strict=True)
    }
    assert make_dataset(meanings).group_values('meaning') == list('rrggrr')
    listed = {'a': {'captions': ['x'], 'tags': ['cat', 'dog']}}
    with pytest.raises(TypeError, match=r"'tags' of 'a' is \['cat', 'dog'\], expected one value"):
        make_dataset(listed).group_values('tags')


def test_group_values_in_wrappers(make_dataset, three_files, monkeypatch):
    three = make_dataset(THREE)
    names = three.group_values()
    assert group_values(ConcatDataset([three, three]), 'video_id') == names * 2
    assert group_values(RepeatDataset(three, 3), 'video_id') == names * 3
    assert group_values(Subset(three, [5, 0]), 'video_id') == ['c.mp4', 'a.mp4']
    both = Subset(ConcatDataset([three, three]), [0, 11])
    assert group_values(both, 'video_id') == ['a.mp4', 'c.mp4']
    assert inner_datasets(both) == [three, three]
    monkeypatch.setattr(type(three), 'get_cat_ids', lambda self, i: [i // 2], raising=False)
    balanced = ClassBalancedDataset(three, oversample_thr=0.9)
    assert group_values(balanced, 'video_id') == [names[i] for i in balanced.repeat_indices]
    with pytest.raises(TypeError, match=r'method group_values.*list has none'):
        group_values([1, 2], 'video_id')


def test_missing_videos_are_counted_and_five_are_named(make_dataset, videos):
    (videos / '0.mp4').touch()
    annotation = {f'{number}.mp4': ['x'] for number in range(8)}
    with pytest.raises(FileNotFoundError) as caught:
        make_dataset(annotation)
    message = str(caught.value)
    assert '7 of 8 video files are missing' in message
    assert [f'{videos}/{n}.mp4' in message for n in range(8)] == [
        n in range(1, 6) for n in range(8)
    ]
    assert 'annotation.json' in message
    assert "on_missing='drop'" in message


def test_missing_videos_can_be_dropped(make_dataset, videos, log_records):
    for number in (0, 2):
        (videos / f'{number}.mp4').touch()
    annotation = {f'{number}.mp4': ['x', 'y'] for number in range(3)}
    dataset = make_dataset(annotation, on_missing='drop')
    assert [item['video_id'] for item in dataset] == ['0.mp4', '0.mp4', '2.mp4', '2.mp4']
    (warning,) = [record for record in log_records if record.levelno == logging.WARNING]
    assert '1 of 3 video files are missing' in warning.getMessage()
    assert f'{videos}/1.mp4; they are skipped' in warning.getMessage()
    log_records.clear()
    make_dataset({'0.mp4': ['x']}, on_missing='drop')
    assert not log_records


def test_all_videos_missing_is_an_error_even_with_drop(make_dataset):
    with pytest.raises(FileNotFoundError, match='2 of 2 video files are missing'):
        make_dataset({'a.mp4': ['x'], 'b.mp4': ['x']}, on_missing='drop')


def test_invalid_settings(make_dataset):
    with pytest.raises(ValueError, match=r"on_missing='skip' is unknown, choose one of \('error'"):
        make_dataset(THREE, on_missing='skip')
    with pytest.raises(ValueError, match=r"data_prefix={'img': 'x'} lacks 'video'"):
        TextVideoDataset(ann_file='x.json', pipeline=(), data_prefix=dict(img='x'))
    with pytest.raises(
        ValueError, match=r"'a' has the fields \['filename', 'text'\], which the da"
    ):
        make_dataset({'a': {'captions': ['x'], 'text': 'y', 'filename': 'z', 'other': 1}})


@pytest.mark.usefixtures('three_files')
def test_paths_below_data_root_and_the_registry(videos, write_annotation):
    root = videos.parent
    write_annotation(THREE)
    dataset = DATASETS.build(
        dict(
            type='mmaction.TextVideoDataset',
            data_root=str(root),
            ann_file='annotation.json',
            data_prefix=dict(video='videos'),
            pipeline=[],
        )
    )
    assert dataset[0]['filename'] == str(videos / 'a.mp4')
    with pytest.raises(FileNotFoundError, match='other.json does not exist'):
        TextVideoDataset(data_root=str(root), ann_file='other.json', pipeline=())


@pytest.mark.usefixtures('three_files')
@pytest.mark.parametrize('sampler', ['UniformSample', 'SampleFrames'])
def test_times_that_the_sampling_would_ignore(make_dataset, sampler):
    with pytest.raises(
        ValueError, match=rf"'b' has start=1 and end=2, which {sampler} does not read; use SampleF"
    ):
        make_dataset(THREE, (dict(type=sampler, clip_len=4),))
    whole = {'a.mp4': ['one'], 'b': {'captions': ['two'], 'start': None}}
    assert len(make_dataset(whole, (dict(type=sampler, clip_len=4),))) == 2
    assert len(make_dataset(THREE, (dict(type='SampleFramesByRate'),))) == 6
