"""MMEngine's wrappers work wherever a data set does."""

import pytest
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmengine.runner import Runner
from torch.utils.data import Subset

from ts2net_mm.datasets.samplers.substitutes import ItemNumber
from ts2net_mm.datasets.wrappers import group_values, inner_datasets


@pytest.fixture
def three(make_dataset, videos):
    for name in 'abc':
        (videos / f'{name}.mp4').touch()
    annotation = {f'{name}.mp4': [f'{name}1', f'{name}2'] for name in 'abc'}
    return make_dataset(annotation, test_mode=False)


NAMES = ['a.mp4', 'a.mp4', 'b.mp4', 'b.mp4', 'c.mp4', 'c.mp4']


def test_values_of_wrapped_items(three):
    assert group_values(ConcatDataset([three, three]), 'video_id') == NAMES * 2
    assert group_values(RepeatDataset(three, 3), 'video_id') == NAMES * 3
    assert group_values(Subset(three, [5, 0]), 'video_id') == ['c.mp4', 'a.mp4']
    both = Subset(ConcatDataset([three, three]), [0, 11])
    assert group_values(both, 'video_id') == ['a.mp4', 'c.mp4']
    assert inner_datasets(both) == [three, three]
    with pytest.raises(TypeError, match='method group_values.*list has none'):
        group_values([1, 2], 'video_id')


def test_balanced_items(three, monkeypatch):
    monkeypatch.setattr(type(three), 'get_cat_ids', lambda self, i: [i // 2], raising=False)
    balanced = ClassBalancedDataset(three, oversample_thr=0.9)
    found = group_values(balanced, 'video_id')
    assert found == [NAMES[index] for index in balanced.repeat_indices]


@pytest.mark.parametrize(
    ('wrap', 'expected'),
    [
        (lambda one: RepeatDataset(one, 3), [1, 0]),
        (lambda one: ConcatDataset([one, one]), [1]),  # item 0 is out of reach from there
    ],
    ids=['repeated', 'concatenated'],
)
def test_substitutes_pass_through(three, monkeypatch, wrap, expected):
    found = []

    def prepare(self, index):
        found.extend(self._substitutes(index))
        return index

    monkeypatch.setattr(type(three), 'prepare_data', prepare)
    wrap(three)[ItemNumber(8, (7, 0))]
    assert found == expected


def test_so_many_batches_an_epoch(three):
    loader = Runner.build_dataloader(
        dict(
            dataset=three,
            batch_size=2,
            num_batch_per_epoch=2,
            sampler=dict(type='DefaultSampler', shuffle=True),
            batch_sampler=dict(type='DistinctGroupBatchSampler'),
        ),
        seed=0,
    )
    assert len(loader) == 2
    assert all(index < 4 for batch in loader.batch_sampler for index in batch)
