"""Substitutes for videos that cannot be read."""

import logging
import pickle
import random

import numpy as np
import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.dataset import ConcatDataset, RepeatDataset

from ts2net_mm.datasets import DistinctGroupBatchSampler, UnreadableVideoError
from ts2net_mm.datasets.bad_videos import (
    ItemIndex,
    bad_videos_of,
    draw_substitutes,
)
from ts2net_mm.video.errors import DecoderEndedError

NAMES = [f'{number}.mp4' for number in range(12)]


class Reader:
    """The first step of a pipeline, which draws numbers and then fails on some files."""

    def __init__(self, bad=(), error=OSError) -> None:
        self.bad = set(bad)
        self.error = error
        self.asked: list[str] = []

    def __call__(self, results: dict) -> dict:
        name = results['filename'].rsplit('/', 1)[1]
        self.asked.append(name)
        results['drawn'] = (np.random.rand(), random.random(), torch.rand(1).item())
        if name in self.bad:
            raise self.error('broken')
        return results


def pack(results: dict) -> dict:
    sample = ActionDataSample()
    sample.set_metainfo({key: results[key] for key in ('video_id', 'captions')})
    return dict(inputs=results['drawn'], data_samples=sample)


@pytest.fixture
def make(videos, make_dataset):
    """Function that makes a data set of twelve videos of which some are bad."""
    for name in NAMES:
        (videos / name).write_text('x')

    def build(bad=(), *, captions=2, packed=False, error=OSError, **settings):
        annotation = {name: [f'{name} {n}' for n in range(captions)] for name in NAMES}
        reader = Reader(bad, error)
        dataset = make_dataset(annotation, (reader, pack) if packed else (reader,), **settings)
        dataset.reader = reader
        return dataset

    return build


def names_of(dataset) -> list[str]:
    return [dataset[index]['video_id'] for index in range(len(dataset))]


def test_a_bad_video_is_replaced_by_another_pair(make, videos):
    dataset = make({'3.mp4'})
    items = [dataset[index] for index in range(24)]
    for index, item in enumerate(items):
        assert item['captions'][0].startswith(item['video_id'])
        assert ('bad_videos' in item) == (index in (6, 7))
        if index not in (6, 7):
            assert item['captions'] == [f'{index // 2}.mp4 {index % 2}']
    assert '3.mp4' not in names_of(dataset)
    assert items[6]['bad_videos'] == [
        dict(
            video_id='3.mp4',
            filename=str(videos / '3.mp4'),
            reason='OSError: broken',
            num_texts=1,
            skip=False,
        )
    ]


def test_the_substitute_depends_on_the_index_only(make):
    expected = names_of(make({'3.mp4', '4.mp4'}))
    other_order = make({'3.mp4', '4.mp4'})
    np.random.seed(99)
    assert [other_order[index]['video_id'] for index in reversed(range(24))] == expected[::-1]
    # not the same substitute for all bad items
    assert len({expected[index] for index in (6, 7, 8, 9)}) > 1


def test_substitutes_may_be_bad_themselves(make):
    dataset = make(set(NAMES[:9]))
    for index in range(24):
        item = dataset[index]
        assert item['video_id'] in NAMES[9:]
        bad = [video.video_id for video in bad_videos_of(item)]
        assert len(set(bad)) == len(bad)
        assert set(bad) <= set(NAMES[:9])
        assert bad[:1] == ([f'{index // 2}.mp4'] if index < 18 else [])
    assert max(len(bad_videos_of(dataset[index])) for index in range(24)) > 1


def test_error_without_a_substitute(make, make_dataset, videos):
    with pytest.raises(UnreadableVideoError) as caught:
        make(NAMES)[0]
    message = str(caught.value)
    start = f'cannot read video {videos}/0.mp4: OSError: broken; nor can its substitutes: '
    assert message.startswith(start)
    assert message.count('OSError: broken') == 11
    alone = make_dataset({'0.mp4': ['x', 'y']}, (Reader({'0.mp4'}),))
    for index, suffix in ((0, ''), (ItemIndex(0), '; no other video fits into its batch')):
        with pytest.raises(UnreadableVideoError) as caught:
            alone[index]
        assert str(caught.value) == f'cannot read video {videos}/0.mp4: OSError: broken{suffix}'
    assert make({'0.mp4'})[ItemIndex(1, (9,))]['video_id'] == '4.mp4'


def test_failed_attempts_do_not_change_the_random_state(make):
    def draws(bad):
        dataset = make(bad, one_caption_per_video=True)
        np.random.seed(0), random.seed(0), torch.manual_seed(0)
        return [dataset[index]['drawn'] for index in range(12)]

    assert draws({'2.mp4', '7.mp4'}) == draws(())


def test_a_hanging_video_is_tried_once(make):
    hanging = make({'3.mp4'}, error=DecoderEndedError)
    damaged = make({'3.mp4'})
    for dataset in (hanging, damaged):
        for _ in range(2):
            assert {video.reason for i in (6, 7) for video in bad_videos_of(dataset[i])}
    assert bad_videos_of(hanging[6])[0].reason == 'broken'
    assert hanging.reader.asked.count('3.mp4') == 1
    assert damaged.reader.asked.count('3.mp4') == 4


def test_each_video_is_logged_once_unless_a_hook_does(make, log_records):
    dataset = make({'3.mp4', '5.mp4'})
    names_of(dataset), names_of(dataset)
    lines = [record.getMessage() for record in log_records if record.levelno == logging.WARNING]
    assert len(lines) == 2
    assert all(line.endswith('.mp4: OSError: broken; replaced') for line in lines)
    log_records.clear()
    watched = make({'3.mp4'})
    watched.bad_videos_watched = True
    names_of(watched)
    assert not log_records


def test_error_at_the_first_bad_video(make):
    """In training on request, with or without the hook; in testing without the hook."""
    training = make({'3.mp4'}, on_bad_video='error')
    training.bad_videos_watched = True
    for dataset, index in ((training, 6), (make({'3.mp4'}, test_mode=True), 3)):
        with pytest.raises(UnreadableVideoError, match=r'3\.mp4: OSError: broken$'):
            dataset[index]
    assert training[5]['video_id'] == '2.mp4'


@pytest.mark.parametrize('on_bad_video', ['skip', 'error'])
def test_a_watched_test_continues_with_the_pixels_of_another_video(make, on_bad_video):
    dataset = make({'3.mp4', '4.mp4'}, test_mode=True, packed=True, on_bad_video=on_bad_video)
    dataset.bad_videos_watched = True
    samples = [dataset[index]['data_samples'] for index in range(12)]
    assert [sample.video_id for sample in samples] == NAMES
    assert [sample.captions for sample in samples] == [[f'{n} 0', f'{n} 1'] for n in NAMES]
    bad = bad_videos_of(dict(data_samples=samples))
    assert [video.video_id for video in bad] == ['3.mp4', '4.mp4']
    assert {(video.num_texts, video.skip) for video in bad} == {(2, on_bad_video == 'skip')}


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(on_bad_video='skip'), r"'skip' is not for test_mode=False.* \['replace', 'error'\]"),
        (dict(on_bad_video='drop'), r"on_bad_video='drop' is not for test_mode=False"),
        (
            dict(on_bad_video='replace', test_mode=True),
            r"'replace' is not for test_mode=True.* \['error', 'skip'\]",
        ),
    ],
)
def test_invalid_settings(make, settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)


def sampler_of(dataset, batch_size: int, rank: int = 0, world_size: int = 1):
    class Sampler:
        seed, epoch = 3, 0

    sampler = Sampler()
    sampler.dataset, sampler.rank, sampler.world_size = dataset, rank, world_size
    return DistinctGroupBatchSampler(sampler, batch_size)


def test_no_batch_gets_a_second_caption_of_a_video(make):
    """Over two processes, with global batches of six of the twelve videos."""
    dataset = make({'3.mp4'}, captions=5)
    samplers = [sampler_of(dataset, 3, rank, 2) for rank in range(2)]
    replaced = 0
    for parts in zip(*samplers, strict=True):
        items = [dataset[number] for part in parts for number in part]
        replaced += sum('bad_videos' in item for item in items)
        ids = [item['video_id'] for item in items]
        assert len(set(ids)) == 6
    assert replaced > 2


@pytest.mark.parametrize('num_groups', [4, 9, 30, 1000])
def test_all_substitutes_of_a_batch_may_be_used_together(num_groups):
    groups = np.arange(3 * num_groups) % num_groups
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(50):
        batch = rng.permutation(num_groups)[:8]
        drawn = draw_substitutes(groups, batch, rng)
        assert len(drawn) == len(batch)
        items = [item for substitutes in drawn for item in substitutes]
        seen.update(items)
        together = groups[np.concatenate([batch, np.array(items, dtype=int)])]
        assert len(set(together)) == len(together)
        assert max(map(len, drawn)) - min(map(len, drawn)) <= 1
        assert max(map(len, drawn)) <= 8
    assert len(items) == {4: 0, 9: 1, 30: 22, 1000: 64}[num_groups]
    assert num_groups != 30 or seen == set(range(90))


@pytest.mark.parametrize(
    ('wrap', 'substitute'),
    [
        (lambda dataset: RepeatDataset(dataset, 3), '1.mp4'),
        (lambda dataset: ConcatDataset([dataset, dataset]), '8.mp4'),  # 3 is in the first data set
    ],
    ids=['repeated', 'concatenated'],
)
def test_substitutes_in_mmengines_wrappers(make, wrap, substitute):
    """Of item 6 in the second of several data sets of 24 items, in a worker process."""
    index = pickle.loads(pickle.dumps(ItemIndex(24 + 6, (3, 24 + 16))))
    assert wrap(make({'3.mp4'}))[index]['video_id'] == substitute
