"""Batches in which no two items belong to the same group."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from mmaction.registry import DATA_SAMPLERS
from mmengine.dataset import DefaultSampler

from .bad_videos import ItemIndex, draw_substitutes
from .text_video_dataset import group_values

__all__ = ['DistinctGroupBatchSampler', 'deal_batches']


@DATA_SAMPLERS.register_module()
class DistinctGroupBatchSampler:
    """Shuffled batches with at most one item per group, over all processes.

    Two captions of one video in a batch are false negatives of the contrastive loss. The global
    batch of all processes has none; items that do not fit into whole batches are dropped from the
    epoch, different ones each time.

    Each index comes with substitutes of other groups, which `TextVideoDataset` takes if the video
    cannot be read.

    Set it as ``batch_sampler`` of a data loader whose ``sampler`` is MMEngine's ``DefaultSampler``,
    from which it takes seed, epoch and rank.

    Args:
        sampler: The loader's sampler.
        batch_size: Items of a batch in one process.
        group: Annotation field whose values are the groups; the video by default.

    Raises:
        TypeError: If the sampler counts no epochs or its data set has no groups.
        ValueError: If the groups cannot fill a single batch.
    """

    drop_last = True

    def __init__(
        self, sampler: DefaultSampler, batch_size: int, *, group: str = 'video_id'
    ) -> None:
        if not hasattr(sampler, 'epoch'):
            raise TypeError(f'sampler must be a DefaultSampler, found {type(sampler).__name__}')
        self.sampler = sampler
        self.batch_size = batch_size
        numbers: dict[Any, int] = {}
        self.groups = np.array(
            [
                numbers.setdefault(value, len(numbers))
                for value in group_values(sampler.dataset, group)
            ],
            dtype=np.int64,
        )
        self.global_batch_size = batch_size * sampler.world_size
        self.num_batches = _most_batches(self.groups, self.global_batch_size)
        if not self.num_batches:
            raise ValueError(
                f'{len(np.unique(self.groups))} different values of {group!r} cannot fill a global '
                f'batch of {self.global_batch_size} items without repetition: use a smaller batch'
            )

    def __iter__(self) -> Iterator[list[ItemIndex]]:
        """Yield the part of each global batch that belongs to this process."""
        rng = np.random.default_rng((self.sampler.seed, self.sampler.epoch))
        # of its own, so that drawing substitutes does not change the batches
        other_rng = np.random.default_rng((self.sampler.seed, self.sampler.epoch, 1))
        first = self.sampler.rank * self.batch_size
        for batch in deal_batches(self.groups, self.num_batches, self.global_batch_size, rng):
            substitutes = draw_substitutes(self.groups, batch, other_rng)
            items = list(map(ItemIndex, batch.tolist(), substitutes))
            yield items[first : first + self.batch_size]

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return self.num_batches


def deal_batches(
    groups: np.ndarray, num_batches: int, batch_size: int, rng: np.random.Generator
) -> np.ndarray:
    """Deal the items of each group to different batches, as cards are dealt to players.

    Args:
        groups: Group number of each item.
        num_batches: Number of batches to fill.
        batch_size: Items of a batch.
        rng: Source of the shuffling.

    Shape:
        - groups: (items,) int64 -> (num_batches, batch_size) int64, item indices
    """
    order = rng.permutation(len(groups))
    relabelled = rng.permutation(groups.max() + 1)[groups]
    # groups in random order, and the items of each group too
    order = order[np.argsort(relabelled[order], kind='stable')]
    members = np.split(order, np.flatnonzero(np.diff(relabelled[order])) + 1)
    batches: list[list[int]] = [[] for _ in range(num_batches)]
    free: list[int] = []
    for items in members:
        items = items[:num_batches]
        taken = free[: len(items)]
        free = free[len(items) :]
        if len(taken) < len(items):
            # start a new round over all batches; the batches that already have this group wait
            fresh = [int(b) for b in rng.permutation(num_batches)]
            used = set(taken)
            here = [b for b in fresh if b not in used][: len(items) - len(taken)]
            taken_now = set(here)
            free = [b for b in fresh if b not in taken_now]
            taken = taken + here
        for batch, item in zip(taken, items, strict=True):
            batches[batch].append(item)
    rows = np.array([batch[:batch_size] for batch in batches])
    return rng.permuted(rows, axis=1)


def _most_batches(groups: np.ndarray, batch_size: int) -> int:
    """Return the largest number of full batches with at most one item per group each."""
    sizes = np.unique(groups, return_counts=True)[1]
    num_batches = len(groups) // batch_size
    while num_batches and np.minimum(sizes, num_batches).sum() < num_batches * batch_size:
        num_batches -= 1
    return num_batches
