"""Save a checkpoint when SIGTERM ends the run."""

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size, is_main_process
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.runner import Runner

from ..utils.cli import Terminated, hold_termination, received_signal
from .loops import VALIDATED

__all__ = ['TerminationHook']

SAVED = 'termination_checkpoint'


class TerminationHook(Hook):
    """Save ``iter_N.pth`` after the iteration in which SIGTERM arrives, and end the run.

    Slurm sends the signal before it kills a job. All processes stop after the same iteration,
    whichever of them received it; with accumulated gradients, after the next update. A validation
    ends at once, and the checkpoint is that of the moment before it. The checkpoint is written by
    the run's CheckpointHook, and the next regular one of the resumed run replaces it.

    ``tools/train.py`` adds this hook; the run must be inside `ts2net_mm.utils.cli.run`.

    Raises:
        Terminated: When the checkpoint is complete.
    """

    priority = 'LOWEST'  # after all other hooks of an iteration

    def __init__(self) -> None:
        self.agreed = False  # whether all processes stop after the same iteration
        self._validating = False
        self._saved: str | None = None

    def before_train(self, runner: Runner) -> None:
        """Hold the signal from now on."""
        self._saved = runner.message_hub.get_info(SAVED)
        loader = runner.train_dataloader
        if getattr(loader, 'num_workers', 0):
            loader.worker_init_fn = partial(outlive_termination, loader.worker_init_fn)
        hold_termination()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Stop if any process received the signal."""
        self._remove_outdated(runner)
        if received_signal() == signal.SIGINT:  # a library caught the exception
            raise KeyboardInterrupt
        counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        at_update = (runner.iter + 1) % counts == 0 or runner.iter + 1 == runner.max_iters
        if at_update and self._any_process_received():
            self._save(runner, epoch=runner.epoch, iteration=runner.iter + 1)
            self.agreed = True
            raise Terminated

    def after_train_epoch(self, runner: Runner) -> None:
        """Remove the checkpoint of an earlier termination once it is replaced."""
        self._remove_outdated(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Mark that a checkpoint would now be the one of the end of an epoch."""
        self._validating = True

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Stop at once; `save_after_error` saves."""
        if received_signal() == signal.SIGINT:
            raise KeyboardInterrupt
        if received_signal() == signal.SIGTERM:
            raise Terminated

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Mark the end of the validation."""
        self._validating = False

    def after_train(self, runner: Runner) -> None:
        """Stop holding the signal."""
        hold_termination(False)

    def save_after_error(self, runner: Runner) -> None:
        """If SIGTERM ended a validation or its worker processes, save the state before it.

        Needs no other process: their random states were gathered at the start of the validation.
        """
        if received_signal() != signal.SIGTERM or not self._validating or self.agreed:
            return
        if not is_main_process():
            return
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):
                hook.after_val_epoch(runner)  # swaps the trained weights back in
        runner.message_hub.update_info(VALIDATED, -1)  # the resumed run validates again
        self._save(runner, epoch=runner.epoch, iteration=runner.iter)

    def _any_process_received(self) -> bool:
        received = torch.tensor(int(received_signal() == signal.SIGTERM))
        if get_world_size() > 1:
            all_reduce(received, op='max')
        return bool(received)

    def _save(self, runner: Runner, epoch: int, iteration: int) -> None:
        """Make the CheckpointHook save, unless it has just done so."""
        hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        if hook is None:
            return
        last = Path(runner.message_hub.get_info('last_ckpt') or '').name
        at_end = self._validating and hook.by_epoch and last == hook.filename_tmpl.format(epoch)
        if at_end or last == f'iter_{iteration}.pth':
            return
        runner.logger.info(f'SIGTERM: saving checkpoint at {iteration} iterations')
        path = hook.file_backend.join_path(hook.out_dir, f'iter_{iteration}.pth')
        runner.message_hub.update_info(SAVED, path)
        # an extra checkpoint, which does not count towards max_keep_ckpts
        hook.by_epoch, hook.filename_tmpl, hook.max_keep_ckpts = False, 'iter_{}.pth', -1
        hook._save_checkpoint_with_step(runner, iteration, meta=dict(epoch=epoch, iter=iteration))

    def _remove_outdated(self, runner: Runner) -> None:
        """Remove the checkpoint of a termination once there is a newer regular one."""
        last = runner.message_hub.get_info('last_ckpt')
        if self._saved is None or last is None or last == self._saved:
            return
        name, self._saved = Path(self._saved).name, None
        runner.message_hub.pop_info(SAVED)
        # only in this run's folder, which may have been moved since
        if is_main_process() and Path(last).with_name(name).is_file():
            Path(last).with_name(name).unlink()


def outlive_termination(then: Callable[[int], None] | None, worker_id: int) -> None:
    """Let a data loader worker ignore SIGTERM unless its parent process sends it.

    Slurm and torchrun signal the whole process group. Without its workers, training could not
    finish the iteration that it saves.

    Args:
        then: The worker's own initialisation.
        worker_id: Number of the worker.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    if then is not None:
        then(worker_id)


def _end_with_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
