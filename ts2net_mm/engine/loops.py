"""Training by epochs that can resume inside an epoch, with items that any process can repeat."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from mmaction.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader, SequentialSampler

from .resuming import seeded
from .schedules import WarmupCosineLR

__all__ = ['RepeatableBatches', 'RepeatableDataset', 'ResumableTrainLoop', 'repeatable_loader']

NOT_EXACT = 'the run continues, but not as an uninterrupted run would'
VALIDATED = 'last_validated_epoch'  # a name that begins with "val" would be logged


class RepeatableDataset:
    """A data set whose random numbers depend on (seed, epoch, index) alone.

    The augmentation of an item is therefore the same in any worker, any process and any order. A
    plain index and all attributes are passed on to the wrapped data set.

    Args:
        dataset: The data set to wrap.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __getattr__(self, name: str) -> Any:
        # _dataset does not exist while a worker unpickles; __getitems__ would bypass this class
        if name == '_dataset' or name.startswith('__'):
            raise AttributeError(name)
        return getattr(self._dataset, name)

    def __getitem__(self, key: tuple[int, int, int] | int) -> Any:
        if isinstance(key, int):
            return self._dataset[key]
        # the global generators, which transforms draw from, continue unchanged afterwards
        with seeded(*key):
            return self._dataset[key[-1]]

    def __len__(self) -> int:
        return len(self._dataset)


class _InOrder:
    """A SequentialSampler with a seed and an epoch, which the loop sets."""

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
    """Batches of (seed, epoch, index) that can start at any batch of an epoch.

    Args:
        batch_sampler: The batches of indices. Its ``sampler`` has a seed and an epoch;
            a ``SequentialSampler`` gets them here.

    Raises:
        TypeError: If the sampler has no seed or no epoch.
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
        """Yield the batches of the sampler's epoch from ``start`` on, and reset ``start`` to 0."""
        start, self.start = self.start, 0
        seed, epoch = self.sampler.seed, self.sampler.epoch
        for batch in islice(self.batch_sampler, start, None):
            yield [(seed, epoch, index) for index in batch]

    def __len__(self) -> int:
        return len(self.batch_sampler)


def repeatable_loader(loader: DataLoader) -> DataLoader:
    """Rebuild a data loader around a `RepeatableDataset` and `RepeatableBatches`."""
    same_settings = (
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
        # its own generator, because each epoch draws a number from it
        generator=torch.Generator(),
        **{name: getattr(loader, name) for name in same_settings},
    )


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """MMEngine's loop over epochs, resumable from a checkpoint of any iteration.

    MMEngine's loop starts the epoch of such a checkpoint again. This loop continues with the next
    batch, makes every item from (seed, epoch, index) alone, and runs a validation that an
    interruption prevented. Together with ``ResumableCheckpointHook`` a resumed run is bit-identical
    to an uninterrupted one.

    Args:
        runner: The runner.
        dataloader: The training data, with a sampler that has a seed and an epoch.
        max_epochs: Total number of epochs.
        **kwargs: ``val_begin``, ``val_interval`` and ``dynamic_intervals`` of MMEngine's loop.

    Raises:
        ValueError: If an epoch has no batch.
    """

    def __init__(
        self, runner: Runner, dataloader: DataLoader | dict, max_epochs: int, **kwargs: Any
    ) -> None:
        diff_rank_seed = runner._randomness_cfg.get('diff_rank_seed', False)
        loader = runner.build_dataloader(dataloader, runner.seed, diff_rank_seed)
        if not len(loader):
            raise ValueError(
                f'an epoch has no batch: the training data have {len(loader.dataset)} items, fewer '
                f'than {loader.batch_sampler.batch_size} on each of {runner.world_size} processes, '
                'and drop_last=True drops incomplete batches'
            )
        super().__init__(runner, repeatable_loader(loader), max_epochs, **kwargs)
        self._start = 0
        # iterations done, minus those that the epochs done would have with today's batches
        self._extra = 0

    @property
    def batches(self) -> RepeatableBatches:
        """The batch sampler of the data loader."""
        return self.dataloader.batch_sampler  # type: ignore[return-value]

    def resume_position(self) -> dict[str, int]:
        """What a checkpoint must store besides epoch and iteration."""
        return dict(
            sampler_seed=self.batches.sampler.seed,
            batches_per_epoch=len(self.dataloader),
            batch_size=self.batches.batch_size,
            extra_iterations=self._extra,
        )

    def resume_from(self, position: dict[str, int] | None) -> None:
        """Set the next batch of a resumed run.

        Args:
            position: The checkpoint's `resume_position`; None if it has none.

        Raises:
            ValueError: If the checkpoint was saved inside an epoch, and the number of batches of an
                epoch has changed.
        """
        now, saved = self.resume_position(), position or {}
        # of a cached batch; another loop has none
        chunk_sizes = [one.get('chunk_size') for one in (saved, now)]
        if chunk_sizes[0] != chunk_sizes[1]:
            self.runner.logger.warning(
                f'chunk_size was {chunk_sizes[0]} and is now {chunk_sizes[1]}: {NOT_EXACT}'
            )
        position = now | saved
        # the order of the data is that of the interrupted run, whatever the seed of this one
        self.batches.sampler.seed = position['sampler_seed']
        if position['batch_size'] != self.batches.batch_size:
            self.runner.logger.warning(
                f'the batch size was {position["batch_size"]} and is now '
                f'{self.batches.batch_size}: {NOT_EXACT}'
            )
        before = position['batches_per_epoch']
        self._extra = position['extra_iterations']
        start = self._iter - self._extra - self._epoch * before
        if before != len(self.dataloader):
            if start not in (0, before):
                raise ValueError(
                    f'the checkpoint was saved after {start} of {before} batches of an epoch that '
                    f'now has {len(self.dataloader)}: resume with the same data, batch size and '
                    'number of processes, or from the end of an epoch'
                )
            self.runner.logger.warning(
                f'an epoch had {before} batches and now has {len(self.dataloader)}: {NOT_EXACT}'
            )
            # the checkpoint of the last iteration is saved before its epoch is counted as done
            start = len(self.dataloader) if start else 0
            self._restart_count(num_epochs=self._epoch + bool(start))
        if self._extra:
            self._max_iters = self._extra + self._max_epochs * len(self.dataloader)
            self.runner.optim_wrapper.initialize_count_status(
                self.runner.model, self._iter, self._max_iters
            )
        if 0 <= start <= len(self.dataloader):
            self._start = start

    def _restart_count(self, num_epochs: int) -> None:
        """Make the schedule end with the last epoch although earlier epochs had other lengths.

        Args:
            num_epochs: Epochs that are done.
        """
        num_iterations = num_epochs * len(self.dataloader)
        self._extra = self._iter - num_iterations
        for scheduler in self.runner.param_schedulers or ():
            if isinstance(scheduler, WarmupCosineLR):
                # its end assumes that all epochs have the present length
                scheduler.load_state_dict(dict(_global_step=num_iterations))

    def run(self) -> Any:
        """Train."""
        self.runner.call_hook('before_train')
        if self._epoch >= self._max_epochs:
            self.runner.logger.warning(
                f'nothing left to train: the checkpoint is of epoch {self._epoch}, max_epochs is '
                f'{self._max_epochs}'
            )
        if self._iter and not self._start:
            validated = self.runner.message_hub.get_info(VALIDATED) == self._epoch
            if not validated:
                self._validate_if_due()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._decide_current_val_interval()
            self._validate_if_due()
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        """Train on the remaining batches of an epoch."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        start, self._start = self._start, 0
        self.batches.start = start
        for index, data_batch in enumerate(self.dataloader, start=start):
            self.run_iter(index, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _validate_if_due(self) -> None:
        loop = self.runner.val_loop
        if loop is None or self._epoch < self.val_begin:
            return
        if self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs:
            # noted before it runs, because the best checkpoint is saved at its end
            self.runner.message_hub.update_info(VALIDATED, self._epoch)
            loop.run()
