"""Checkpoints that are complete or missing, and from which a run resumes exactly."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmaction.registry import HOOKS
from mmengine.dist import all_gather_object, broadcast_object_list, get_rank, is_main_process
from mmengine.fileio import LocalBackend, get_file_backend, register_backend
from mmengine.hooks import CheckpointHook, EarlyStoppingHook
from mmengine.runner import Runner

from ..utils.files import PART, replacing, write_text
from .loops import NOT_EXACT, ResumableTrainLoop
from .resuming import (
    NoCheckpointError,
    check_optimizer,
    describe_kept_settings,
    newest_complete,
    optimizer_state,
    random_states,
    restore_random_states,
)

__all__ = ['AtomicLocalBackend', 'ResumableCheckpointHook']

ATOMIC_BACKEND = 'ts2net_mm_atomic'
STATE = 'resume_state'  # key in a checkpoint


class AtomicLocalBackend(LocalBackend):
    """MMEngine's local file backend, with files that are complete or missing."""

    def put(self, obj: bytes | memoryview, filepath: str | Path) -> None:
        """Write bytes."""
        with replacing(filepath) as temporary:
            temporary.write_bytes(obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text."""
        self.put(obj.encode(encoding), filepath)


register_backend(ATOMIC_BACKEND, AtomicLocalBackend, force=True)


@HOOKS.register_module()
class ResumableCheckpointHook(CheckpointHook):
    """MMEngine's CheckpointHook, with complete files and the random states of every process.

    A checkpoint is renamed into place once it is complete and on the disk, and the checkpoint that
    it replaces is removed after that. ``--resume`` skips damaged checkpoints, with a warning. The
    settings are those of MMEngine's hook; ``by_epoch=False`` with ``interval=500`` saves every 500
    iterations.

    Raises:
        OSError: If a checkpoint cannot be written; existing ones are kept.
        NoCheckpointError: If all checkpoints of the work folder are damaged.
        ValueError: If a setting is unknown, or if checkpoints would be saved between two updates
            of accumulated gradients, which a checkpoint does not store.
    """

    _trains = False
    _loaded: Mapping[str, Any] | None = None
    _collected: dict[str, Any] | None = None
    _before_validation: dict[str, Any] | None = None
    _metrics: dict[str, float] | None = None
    _all_before_validation: list[dict[str, Any]] | None = None

    def before_run(self, runner: Runner) -> None:
        """Choose the checkpoint for a ``--resume`` that names none."""
        if not runner._resume or runner._load_from is not None:
            return
        # process 0 chooses, so that all processes load the same file
        found: list[Any] = [None, [], '']
        if is_main_process():
            try:
                found[:2] = newest_complete(runner.work_dir)
            except NoCheckpointError as error:
                found[2] = str(error)
        broadcast_object_list(found)
        chosen, damaged, message = found
        if message:
            raise NoCheckpointError(message)
        if chosen is None:
            runner.logger.warning(
                f'--resume: {runner.work_dir} has no checkpoint; the run starts from the beginning'
            )
            runner._resume = False  # else MMEngine loads what last_checkpoint names
            return
        for path in damaged:
            runner.logger.warning(f'{path} is damaged; resuming from {chosen} instead')
        runner._load_from = str(chosen)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep the state of this hook until training starts, and compare the settings."""
        self._loaded = checkpoint.get(STATE) or {}
        if runner._resume:
            check_optimizer(runner, checkpoint, self._loaded)
            for setting in describe_kept_settings(runner, checkpoint):
                runner.logger.warning(f'--resume keeps the setting of the checkpoint: {setting}')

    def before_train(self, runner: Runner) -> None:
        """Prepare the folder; in a resumed run restore position and random states."""
        folder = self.out_dir or runner.work_dir
        if isinstance(get_file_backend(folder), LocalBackend):
            self.backend_args = dict(backend=ATOMIC_BACKEND)
        self._check_settings(runner)
        self._trains = True
        self._forget_other_folders(runner)
        self._forget_other_criteria(runner)
        super().before_train(runner)
        if is_main_process() and isinstance(self.file_backend, LocalBackend):
            for leftover in Path(self.out_dir).glob(f'.*.pth.*{PART}'):
                leftover.unlink(missing_ok=True)
        if runner.iter:
            self.last_ckpt = runner.message_hub.get_info('last_ckpt')
            self._resume(runner, self._loaded or {})
        self._loaded = None

    def before_val_epoch(self, runner: Runner) -> None:
        """Store the random states, so that training does not depend on validation."""
        self._before_validation = random_states()
        self._all_before_validation = all_gather_object(self._before_validation)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Restore the random states of training."""
        self._all_before_validation = None
        if self._before_validation is not None:
            restore_random_states(self._before_validation)
        self._metrics = metrics

    def after_val(self, runner: Runner) -> None:
        """Save the best checkpoint once the other hooks have seen the metrics.

        A checkpoint stores the count of EarlyStoppingHook, which runs after this hook.
        """
        if self._trains:
            super().after_val_epoch(runner, self._metrics or {})

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add position and random states to checkpoints that can be resumed from."""
        if self._collected is not None and 'optimizer' in checkpoint:
            checkpoint[STATE] = self._collected

    def _check_settings(self, runner: Runner) -> None:
        """Reject at the start what MMEngine would report at the first checkpoint, or never."""
        counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if not self.by_epoch and self.interval % counts:
            raise ValueError(
                f'CheckpointHook: interval={self.interval} is not a multiple of '
                f'accumulative_counts={counts}; gradients that are not applied yet are not saved'
            )
        unknown = self.args.keys() - inspect.signature(runner.save_checkpoint).parameters.keys()
        if unknown:
            raise ValueError(f'CheckpointHook has no settings {", ".join(sorted(unknown))}')

    def _forget_other_folders(self, runner: Runner) -> None:
        """In a run that was moved or resumed from another folder, remove only own files."""
        folder = Path(self.out_dir or runner.work_dir)
        if self.out_dir and self.out_dir != runner.work_dir:
            folder /= Path(runner.work_dir).name
        # MMEngine removes the files with these names once they are replaced
        info = runner.message_hub.runtime_info
        for key in [key for key in info if key == 'best_ckpt' or key.startswith('best_ckpt_')]:
            own = folder / Path(str(info[key])).name
            if own.is_file():
                runner.message_hub.update_info(key, str(own))
            else:
                runner.message_hub.pop_info(key)
        source = Path(runner._load_from or folder / 'none')
        if source.absolute().parent.resolve() != folder.resolve():
            runner.message_hub.pop_info('keep_ckpt_ids', None)

    def _criteria(self) -> list[list[str]]:
        """Metrics whose best checkpoints are kept, each with its rule."""
        return [list(pair) for pair in zip(self.key_indicators, self.rules, strict=True)]

    def _forget_other_criteria(self, runner: Runner) -> None:
        """Drop a best score of another metric or rule; its file is kept."""
        saved = (self._loaded or {}).get('best_of')
        if not self.save_best or saved is None or 'auto' in self.key_indicators:
            return
        for key, rule in self._criteria():
            if [key, rule] in saved and len(saved) == len(self.key_indicators):
                continue
            suffix = '' if len(self.key_indicators) == 1 else f'_{key}'
            runner.message_hub.pop_info(f'best_ckpt{suffix}', None)
            runner.message_hub.pop_info(f'best_score{suffix}', None)
            before = ', '.join(' '.join(pair) for pair in saved)
            runner.logger.warning(
                f'the best checkpoint was chosen by {before} and is now chosen by {key} {rule}: '
                'the best score so far is dropped'
            )

    def _resume(self, runner: Runner, state: Mapping[str, Any]) -> None:
        stopping = [hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook)]
        for hook, values in zip(stopping, state.get('early_stopping') or (), strict=False):
            hook.best_score, hook.wait_count = values
        if isinstance(runner.train_loop, ResumableTrainLoop):
            runner.train_loop.resume_from(state.get('position'))
        else:
            runner.logger.warning(
                f'{type(runner.train_loop).__name__} does not resume exactly; use train_cfg.type='
                "'ResumableTrainLoop'"
            )
        states = state.get('random_states') or []
        if len(states) == runner.world_size:
            restore_random_states(states[get_rank()])
        else:
            runner.logger.warning(
                f'the checkpoint has the random states of {len(states)} processes, and now there '
                f'are {runner.world_size}: {NOT_EXACT}'
            )

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """Save, then record the name, then remove the outdated files."""
        outdated = self._select_outdated(runner, step)
        filename = self.filename_tmpl.format(step)
        path = self.file_backend.join_path(self.out_dir, filename)
        # before the checkpoint is saved, because the message hub is part of it
        runner.message_hub.update_info('last_ckpt', path)
        # no gathering in a validation that SIGTERM ends: other processes may not take part
        states = self._all_before_validation or all_gather_object(random_states())
        self._collected = dict(random_states=states, **optimizer_state(runner))
        if self.save_best:
            self._collected['best_of'] = self._criteria()
        self._collected['early_stopping'] = [
            (float(hook.best_score), hook.wait_count)
            for hook in runner.hooks
            if isinstance(hook, EarlyStoppingHook)
        ]
        if isinstance(runner.train_loop, ResumableTrainLoop):
            self._collected['position'] = runner.train_loop.resume_position()
        try:
            runner.save_checkpoint(
                self.out_dir,
                filename,
                self.file_client_args,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
        except OSError as error:
            raise OSError(
                error.errno,
                f'cannot save {path}: {error.strerror}; '
                + (
                    f'the last complete checkpoint is {self.last_ckpt}'
                    if self.last_ckpt
                    else 'there is no checkpoint yet'
                ),
            ) from error
        self.last_ckpt = path
        if is_main_process():
            write_text(Path(runner.work_dir) / 'last_checkpoint', path)
            for old in outdated:
                self._remove(self.file_backend.join_path(self.out_dir, old))

    def _select_outdated(self, runner: Runner, step: int) -> list[str]:
        """Add a step to those that are kept, and return the file names to remove."""
        if self.max_keep_ckpts <= 0:
            return []
        kept = [kept_step for kept_step in self.keep_ckpt_ids if kept_step != step] + [step]
        excess = max(0, len(kept) - self.max_keep_ckpts)
        self.keep_ckpt_ids.clear()
        self.keep_ckpt_ids.extend(kept[excess:])
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        return [self.filename_tmpl.format(old_step) for old_step in kept[:excess]]

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Keep the previous best checkpoint until the new one is complete."""
        if not self.save_best:
            return
        before = self._best_paths()
        # MMEngine removes the files named here before it saves
        self._set_best_paths([None] * len(before))
        super()._save_best_checkpoint(runner, metrics)
        after = self._best_paths()
        self._set_best_paths([new or old for new, old in zip(after, before, strict=True)])
        if is_main_process():
            for new, old in zip(after, before, strict=True):
                if new and old and new != old:
                    self._remove(old)

    def _best_paths(self) -> list[str | None]:
        if len(self.key_indicators) == 1:
            return [self.best_ckpt_path]
        return list(self.best_ckpt_path_dict.values())

    def _set_best_paths(self, paths: list[str | None]) -> None:
        if len(self.key_indicators) == 1:
            (self.best_ckpt_path,) = paths
        else:
            self.best_ckpt_path_dict.update(zip(self.best_ckpt_path_dict, paths, strict=True))

    def _remove(self, path: str) -> None:
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
