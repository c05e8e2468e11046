"""Training by epochs that goes on inside an epoch."""

from typing import Any

from mmaction.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from ..schedulers import WarmupCosineLR
from .repeatable_loader import RepeatableBatches, repeatable_loader

__all__ = ['ResumableTrainLoop']

VALIDATED = 'last_validated_epoch'  # a name with "val" in front would be logged


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """MMEngine's loop over epochs, which a checkpoint of any iteration resumes exactly.

    MMEngine's begins the epoch of such a checkpoint again. This one goes on with its next batch,
    makes every item from (seed, epoch, index) alone, and catches up on the validation that an
    interruption has prevented. Together with ``ResumableCheckpointHook`` the result is that of an
    uninterrupted run, to the bit.

    Args:
        runner: The runner.
        dataloader: The training data, with a sampler that has seed and epoch.
        max_epochs: Epochs in all.
        **kwargs: ``val_begin``, ``val_interval`` and ``dynamic_intervals`` of MMEngine's loop.
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
                'and drop_last=True leaves incomplete batches out'
            )
        super().__init__(runner, repeatable_loader(loader), max_epochs, **kwargs)
        self._start = 0
        self._extra = 0  # iterations, where earlier epochs had other numbers of batches

    @property
    def batches(self) -> RepeatableBatches:
        """The batch sampler of the data loader."""
        return self.dataloader.batch_sampler  # type: ignore[return-value]

    def resume_position(self) -> dict[str, int]:
        """What a checkpoint must know beside epoch and iteration."""
        return dict(
            sampler_seed=self.batches.sampler.seed,
            batches_per_epoch=len(self.dataloader),
            batch_size=self.batches.batch_size,
            extra_iterations=self._extra,
        )

    def go_on_from(self, position: dict[str, int] | None) -> None:
        """Find the next batch of a resumed run.

        Args:
            position: The checkpoint's `resume_position`; None if it has none.

        Raises:
            ValueError: If the checkpoint lies inside an epoch of another number of batches.
        """
        position = self.resume_position() | (position or {})
        self.batches.sampler.seed = position['sampler_seed']
        if position['batch_size'] != self.batches.batch_size:
            self.runner.logger.warning(
                f'a batch had {position["batch_size"]} items and now has '
                f'{self.batches.batch_size}: the run continues, but not as it would have'
            )
        before = position['batches_per_epoch']
        self._extra = position['extra_iterations']
        start = self._iter - self._extra - self._epoch * before
        if before != len(self.dataloader):
            if start not in (0, before):
                raise ValueError(
                    f'the checkpoint lies after {start} of {before} batches of an epoch, which now '
                    f'has {len(self.dataloader)}: resume with the same data, batch size and number '
                    'of processes, or from the end of an epoch'
                )
            self.runner.logger.warning(
                f'an epoch had {before} batches and now has {len(self.dataloader)}: the run '
                'continues, but not as it would have'
            )
            # a checkpoint of the last iteration lies before the end of its epoch is counted
            start = len(self.dataloader) if start else 0
            self._count_anew(epochs=self._epoch + bool(start))
        if self._extra:
            self._max_iters = self._extra + self._max_epochs * len(self.dataloader)
            self.runner.optim_wrapper.initialize_count_status(
                self.runner.model, self._iter, self._max_iters
            )
        if 0 <= start <= len(self.dataloader):
            self._start = start

    def _count_anew(self, epochs: int) -> None:
        """Let the schedule end with the last epoch although the first had other batches.

        Args:
            epochs: How many are done.
        """
        batches = len(self.dataloader)
        self._extra = self._iter - epochs * batches
        for scheduler in self.runner.param_schedulers or ():
            if isinstance(scheduler, WarmupCosineLR):
                # its end is that of a run whose epochs are all like those to come
                scheduler.load_state_dict(dict(_global_step=epochs * batches))

    def run(self) -> Any:
        """Train."""
        self.runner.call_hook('before_train')
        if self._epoch >= self._max_epochs:
            self.runner.logger.warning(
                f'nothing is left to train: the checkpoint is of epoch {self._epoch}, and '
                f'max_epochs is {self._max_epochs}'
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
        """Train on what is left of an epoch."""
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
            # a checkpoint that is saved now is saved after the metrics are known
            self.runner.message_hub.update_info(VALIDATED, self._epoch)
            loop.run()
