"""A data loader whose items depend on seed, epoch and item alone, and that can start late."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader, SequentialSampler

from ..random_states import seeded

__all__ = ['RepeatableBatches', 'RepeatableDataset', 'repeatable_loader']


class RepeatableDataset:
    """A data set that draws what an item needs from (seed, epoch, index).

    So the augmentation is the same in any worker, any process and any order. A plain index and
    everything else go to the data set itself.

    Args:
        dataset: The data set whose items are made.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __getattr__(self, name: str) -> Any:
        # not there yet while a worker unpickles; and __getitems__ would go past this class
        if name == '_dataset' or name.startswith('__'):
            raise AttributeError(name)
        return getattr(self._dataset, name)

    def __getitem__(self, key: tuple[int, int, int] | int) -> Any:
        if isinstance(key, int):
            return self._dataset[key]
        with seeded(*key):
            return self._dataset[key[-1]]

    def __len__(self) -> int:
        return len(self._dataset)


class _InOrder:
    """A sampler in order, with the seed and the epoch that the loop sets."""

    def __init__(self, sampler: SequentialSampler) -> None:
        self._sampler = sampler
        self.seed = 0
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        return iter(self._sampler)

    def __len__(self) -> int:
        return len(self._sampler)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


class RepeatableBatches:
    """Batches of (seed, epoch, index) that begin at any batch of an epoch.

    Args:
        batch_sampler: The batches of indices; its ``sampler`` holds seed and epoch. torch's
            ``SequentialSampler``, which needs neither, gets them.

    Raises:
        TypeError: If the sampler has neither.
    """

    def __init__(self, batch_sampler: Any) -> None:
        sampler = batch_sampler.sampler
        if isinstance(sampler, SequentialSampler):
            sampler = _InOrder(sampler)
        missing = [name for name in ('seed', 'epoch') if not hasattr(sampler, name)]
        if missing:
            raise TypeError(
                f'ResumableTrainLoop needs a sampler with seed and epoch, such as DefaultSampler; '
                f'{type(sampler).__name__} has no {" and no ".join(missing)}'
            )
        self.batch_sampler = batch_sampler
        self.sampler = sampler
        self.start = 0

    def __getattr__(self, name: str) -> Any:
        if name == 'batch_sampler' or name.startswith('__'):
            raise AttributeError(name)
        return getattr(self.batch_sampler, name)

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        """Yield the batches of the sampler's epoch, from ``start`` on, which is used up."""
        start, self.start = self.start, 0
        seed, epoch = self.sampler.seed, self.sampler.epoch
        for batch in islice(self.batch_sampler, start, None):
            yield [(seed, epoch, index) for index in batch]

    def __len__(self) -> int:
        return len(self.batch_sampler)


def repeatable_loader(loader: DataLoader) -> DataLoader:
    """Rebuild a data loader around a `RepeatableDataset` and `RepeatableBatches`."""
    same = (
        'num_workers',
        'collate_fn',
        'pin_memory',
        'timeout',
        'worker_init_fn',
        'multiprocessing_context',
        'prefetch_factor',
        'persistent_workers',
        'pin_memory_device',
    )
    return DataLoader(
        RepeatableDataset(loader.dataset),  # type: ignore[arg-type]
        batch_sampler=RepeatableBatches(loader.batch_sampler),  # type: ignore[arg-type]
        # its own, because each epoch draws a number that nothing uses
        generator=torch.Generator(),
        **{name: getattr(loader, name) for name in same},
    )
