import time
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.hooks import DistSamplerSeedHook
from mmengine.runner import Runner
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import DataLoader

from ts2net_mm.datasets import DistinctGroupBatchSampler


class Grouped:
    """Items that are their own numbers, with a group each."""

    def __init__(self, *sizes: int) -> None:
        self.groups = np.repeat(np.arange(len(sizes)), sizes)

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> int:
        return index

    def group_values(self, field: str) -> np.ndarray:
        return {'video_id': self.groups, 'parity': self.groups % 2}[field]


def make_sampler(sizes, batch_size, *, rank=0, world_size=1, seed=0, epoch=0, **settings):
    """The batch sampler of one of several processes."""
    sampler = SimpleNamespace(
        dataset=Grouped(*sizes), rank=rank, world_size=world_size, seed=seed, epoch=epoch
    )
    return DistinctGroupBatchSampler(sampler, batch_size, **settings)


def global_batches(sizes, batch_size, world_size, epoch=0) -> list[list[int]]:
    """The items of all processes in each step."""
    samplers = [
        make_sampler(sizes, batch_size, rank=rank, world_size=world_size, epoch=epoch)
        for rank in range(world_size)
    ]
    return [sum(parts, []) for parts in zip(*samplers, strict=True)]


# sizes of groups, batch size, number of batches (found by hand)
CASES = [
    ((1,) * 10, 3, 3),
    ((5, 5), 2, 5),
    ((10, 1, 1), 2, 2),
    ((100, 3, 3, 3), 3, 4),
    ((20,) * 12, 6, 40),
    ((7, 1, 4, 4, 2, 9, 3, 1, 1, 5), 6, 5),
    ((4, 4, 4, 4, 4, 4), 6, 4),
    ((9,), 1, 9),
]


@pytest.mark.parametrize(('sizes', 'batch_size', 'num_batches'), CASES)
def test_as_many_batches_as_possible(sizes, batch_size, num_batches):
    """n batches are possible if groups that give min(size, n) items each can fill them."""

    def possible(n):
        return sum(min(size, n) for size in sizes) >= n * batch_size

    assert possible(num_batches)
    assert not any(possible(n) for n in range(num_batches + 1, sum(sizes) + 1))
    sampler = make_sampler(sizes, batch_size)
    assert len(sampler) == num_batches
    assert [len(batch) for batch in sampler] == [batch_size] * num_batches


@pytest.mark.parametrize(
    ('sizes', 'batch_size', 'world_size'),
    [(case[0], case[1], world) for case in CASES for world in (1, 3) if case[1] % world == 0],
)
def test_no_group_is_twice_in_a_global_batch(sizes, batch_size, world_size):
    groups = Grouped(*sizes).groups
    for epoch in range(20):
        batches = global_batches(sizes, batch_size // world_size, world_size, epoch)
        for batch in batches:
            assert len(set(groups[batch])) == len(batch) == batch_size
        items = sum(batches, [])
        assert len(set(items)) == len(items)


def test_processes_share_the_batches_of_one():
    sizes = (6,) * 10
    for epoch in range(3):
        alone = list(make_sampler(sizes, 9, epoch=epoch))
        assert global_batches(sizes, 3, world_size=3, epoch=epoch) == alone


@pytest.mark.parametrize('sizes', [(3,) * 11, (12, 3, 3, 3, 1, 1), (40, 2, 2, 2)])
def test_every_item_is_drawn(sizes):
    seen = set()
    for epoch in range(200):
        seen |= set(sum(make_sampler(sizes, 3, epoch=epoch), []))
    assert seen == set(range(sum(sizes)))


def test_items_are_drawn_evenly():
    counts = np.zeros(33)
    for epoch in range(600):
        for batch in make_sampler((3,) * 11, 5, epoch=epoch):
            counts[batch] += 1
    assert counts.sum() == 600 * 30
    # binomial with mean 545 and standard deviation 7
    assert counts.min() > 545 - 35
    assert counts.max() < 545 + 35


def test_epochs_and_seeds_differ_and_repeat():
    sizes = (5,) * 8

    def order(**state):
        return list(make_sampler(sizes, 4, **state))

    assert order(epoch=0) == order(epoch=0)
    assert order(seed=3, epoch=2) == order(seed=3, epoch=2)
    orders = [order(seed=seed, epoch=epoch) for seed in range(3) for epoch in range(3)]
    assert all(a != b for i, a in enumerate(orders) for b in orders[:i])
    # and not only the order of the batches differs
    assert sorted(map(sorted, orders[0])) != sorted(map(sorted, orders[1]))


def test_group_by_any_field():
    sampler = make_sampler((1,) * 6, 2, group='parity')
    for batch in sampler:
        assert {item % 2 for item in batch} == {0, 1}
    assert len(sampler) == 3


@pytest.mark.parametrize(('batch_size', 'world_size'), [(3, 1), (1, 3)])
def test_too_few_groups(batch_size, world_size):
    with pytest.raises(
        ValueError, match=r"2 different values of 'video_id' cannot fill a global batch of 3 items"
    ):
        make_sampler((50, 50), batch_size, world_size=world_size)


def test_unsuitable_samplers_and_data_sets():
    with pytest.raises(TypeError, match='must be a DefaultSampler, found InfiniteSampler'):
        DistinctGroupBatchSampler(InfiniteSampler(Grouped(1, 1), seed=0), 2)
    with pytest.raises(TypeError, match='must have a method group_values.* list has none'):
        DistinctGroupBatchSampler(DefaultSampler([1, 2], seed=0), 2)


@pytest.fixture
def build_loader():
    def build(num_workers: int = 0) -> DataLoader:
        return Runner.build_dataloader(
            dict(
                batch_size=4,
                num_workers=num_workers,
                persistent_workers=num_workers > 0,
                sampler=dict(type='DefaultSampler', shuffle=True),
                batch_sampler=dict(type='DistinctGroupBatchSampler'),
                dataset=Grouped(*(3,) * 8),
                collate_fn=dict(type=list),
            ),
            seed=5,
        )

    return build


def expected_epoch(epoch: int) -> list[list[int]]:
    return list(make_sampler((3,) * 8, 4, seed=5, epoch=epoch))


def test_epoch_based_loop(build_loader):
    loader = build_loader()
    assert len(loader) == 6
    assert list(loader) == expected_epoch(0)
    train_loop = SimpleNamespace(dataloader=loader)
    DistSamplerSeedHook().before_train_epoch(SimpleNamespace(train_loop=train_loop, epoch=3))
    assert list(loader) == expected_epoch(3)


@pytest.mark.parametrize('num_workers', [0, 1])
def test_iteration_based_loop(build_loader, monkeypatch, num_workers):
    monkeypatch.setattr(time, 'sleep', lambda seconds: None)
    batches = iter(_InfiniteDataloaderIterator(build_loader(num_workers)))
    for epoch in range(3):
        assert [next(batches) for _ in range(6)] == expected_epoch(epoch)
