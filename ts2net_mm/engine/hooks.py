"""Small hooks of a run: its weights, its loss, its logit scale, and unreadable videos."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import torch
from mmaction.registry import HOOKS
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner, find_latest_checkpoint
from torch import Tensor

from ..checkpoints import Checkpoint, fit_weights
from ..checkpoints.settings import as_meta, foreign_types
from ..datasets.bad_videos import BadVideo, BadVideosError, bad_videos_of
from ..datasets.text_video_dataset import TextVideoDataset, inner_datasets
from ..evaluation.metric import reject_bad_videos

__all__ = [
    'BadVideosHook',
    'FiniteLossHook',
    'LogitScaleClampHook',
    'ModelConfigHook',
    'NotFiniteError',
    'StrictCheckpointHook',
]


@HOOKS.register_module()
class StrictCheckpointHook(Hook):
    """Convert weights of any format that a run loads; raise an error if they do not fit the model.

    MMEngine alone loads the keys that it knows and ignores the rest. A file may hold the weights
    directly or under ``state_dict``. This hook runs first, whatever its priority, because others
    (such as ``EMAHook``) expect the weights under the model's names.
    """

    def before_run(self, runner: Runner) -> None:
        """Move this hook to the first place."""
        # MMEngine calls hooks in the order of this list
        runner.hooks.remove(self)
        runner.hooks.insert(0, self)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Convert the checkpoint's weights before MMEngine loads them."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        name = runner._load_from or find_latest_checkpoint(runner.work_dir) or 'the checkpoint'
        found = Checkpoint.from_content(checkpoint, str(name))
        fitted = fit_weights(model, found)
        if 'state_dict' not in checkpoint:
            checkpoint.clear()
        checkpoint['state_dict'] = fitted


@HOOKS.register_module()
class ModelConfigHook(Hook):
    """Store the model's config as plain data in every checkpoint.

    ``tools/test.py --from-weights`` and ``tools/convert_weights.py`` read from it what the shapes
    of the weights do not show, such as the blocks with a token shift. No config is stored for a
    model with parts of other packages, or one that was built before the runner; the log says so
    once.
    """

    _warned = False

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the config to the meta data."""
        model = runner.cfg.get('model')
        meta = as_meta(model) if isinstance(model, Mapping) else {}
        checkpoint['meta'].update(meta)
        if not meta and not self._warned:
            self._warned = True
            foreign = foreign_types(model) if isinstance(model, Mapping) else []
            reason = (
                f'{", ".join(foreign)} of other packages' if foreign else 'no plain model config'
            )
            print_log(
                f'the checkpoints store no model config, because the run has {reason}: '
                'tools/test.py --from-weights and tools/convert_weights.py will infer the model '
                'from the shapes of its weights',
                logger='current',
                level=logging.WARNING,
            )


@HOOKS.register_module()
class LogitScaleClampHook(Hook):
    """Limit the factor on the cosines after each step; to 100 in CLIP and the released recipe.

    The parameter is found by its name, ``logit_scale``, so the hook also works for MMAction2's
    ``CLIPSimilarity``. It has no effect on a model without such a parameter.

    Args:
        max_scale: Largest factor (not its logarithm).

    Raises:
        ValueError: If ``max_scale`` is not positive.
    """

    def __init__(self, *, max_scale: float = 100.0) -> None:
        if max_scale <= 0:
            raise ValueError(f'max_scale={max_scale} must be positive')
        self.max_log_scale = math.log(max_scale)

    @torch.no_grad()
    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Clamp the parameter in place."""
        for name, parameter in runner.model.named_parameters():
            if name.rpartition('.')[2] == 'logit_scale':
                parameter.clamp_(max=self.max_log_scale)


class NotFiniteError(FloatingPointError):
    """A loss or gradient norm is NaN or infinite."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop at the first NaN or infinite loss or gradient norm, before a checkpoint is saved.

    The values are those that MMEngine has read from the device for its log. The gradient norm is
    known if ``clip_grad`` is set; fp16 training skips infinite gradients itself.

    Raises:
        NotFiniteError: With the iteration, the videos of the batch and the last checkpoint.
    """

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Check the losses and the gradient norm."""
        values = {name: _number(value) for name, value in (outputs or {}).items()}
        scalars = runner.message_hub.log_scalars
        if 'train/grad_norm' in scalars and not hasattr(runner.optim_wrapper, 'loss_scaler'):
            values['grad_norm'] = _number(scalars['train/grad_norm'].current())
        bad = [f'{name} is {value}' for name, value in values.items() if not math.isfinite(value)]
        if bad:
            last = runner.message_hub.get_info('last_ckpt')
            raise NotFiniteError(
                f'{", ".join(bad)} at iteration {runner.iter + 1} (epoch {runner.epoch + 1}, batch '
                f'{batch_idx + 1}); the batch of process {runner.rank} has the videos '
                f'{", ".join(_names(data_batch)) or "(without names)"}; '
                + (f'the last checkpoint is {last}' if last else 'there is no checkpoint yet')
            )


def _number(value: Any) -> float:
    return value.item() if isinstance(value, Tensor) else float(value)


def _names(data_batch: Any) -> list[str]:
    samples = data_batch.get('data_samples') or [] if isinstance(data_batch, Mapping) else []
    return [str(sample.get('filename') or sample.get('video_id')) for sample in samples]


@HOOKS.register_module()
class BadVideosHook(Hook):
    """Report the videos that `TextVideoDataset` could not read, from all workers and processes.

    In training each unreadable video is logged once with the reason, the number of replaced items
    is logged at the end of an epoch, and the run ends if more than ``max_share`` of the videos are
    unreadable. In testing an unreadable video ends the run after the last batch, with a list of all
    of them, unless the data set has ``on_bad_video='skip'``.

    Args:
        max_share: Largest fraction of the training videos that may be unreadable, 0 to 1.
        interval: Iterations between two exchanges of reports among processes.

    Raises:
        ValueError: If ``max_share`` is not in [0, 1] or ``interval`` is not positive.
        BadVideosError: With all unreadable videos and their reasons.
    """

    def __init__(self, *, max_share: float = 0.01, interval: int = 50) -> None:
        if not 0 <= max_share <= 1 or interval < 1:
            raise ValueError(
                f'max_share={max_share} must be between 0 and 1, interval={interval} at least 1'
            )
        self.max_share = max_share
        self.interval = interval
        self._new: list[list[BadVideo]] = []  # for each replaced item
        self._known: dict[str, BadVideo] = {}
        self._num_replaced = 0
        self._num_videos: int | None = None
        self._in_test: list[BadVideo] = []

    def before_train(self, runner: Runner) -> None:
        """Make the data sets report to this hook instead of the log."""
        _watch(runner.train_dataloader.dataset)

    def before_train_epoch(self, runner: Runner) -> None:
        """Reset the count of the epoch."""
        self._num_replaced = 0

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Collect the reports of a batch."""
        samples = data_batch.get('data_samples', ()) if isinstance(data_batch, dict) else ()
        self._new += [videos for sample in samples or () if (videos := bad_videos_of(sample))]
        # several processes exchange reports together, so all must do so in the same iteration
        if get_world_size() == 1 or self.every_n_train_iters(runner, self.interval):
            self._report(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Report the last batches, and the number of replaced items."""
        self._report(runner)
        if self._num_replaced:
            runner.logger.info(
                f'Epoch(train) [{runner.epoch + 1}]  replaced items: {self._num_replaced}, '
                f'unreadable videos so far: {len(self._known)} of {self._count_videos(runner)}'
            )

    def before_val(self, runner: Runner) -> None:
        """Make the data sets report to this hook and continue."""
        _watch(runner.val_dataloader.dataset)

    def before_test(self, runner: Runner) -> None:
        """Make the data sets report to this hook and continue."""
        _watch(runner.test_dataloader.dataset)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Collect the reports of a batch."""
        self._in_test += [video for video in bad_videos_of(data_batch) if not video.skip]

    after_test_iter = after_val_iter

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Raise an error if a metric of another package has counted replaced items."""
        bad, self._in_test = self._in_test, []
        reject_bad_videos(bad, len(runner.val_dataloader.dataset))

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Raise an error if a metric of another package has counted replaced items."""
        bad, self._in_test = self._in_test, []
        reject_bad_videos(bad, len(runner.test_dataloader.dataset))

    def _report(self, runner: Runner) -> None:
        """Gather the reports of all processes, log new videos, stop if there are too many."""
        items = [videos for shard in all_gather_object(self._new) for videos in shard]
        self._new = []
        self._num_replaced += len(items)
        new = {video.filename: video for videos in items for video in videos}
        new = {name: video for name, video in new.items() if name not in self._known}
        if not new:
            return
        for name, video in new.items():
            runner.logger.warning(f'cannot read video {name}: {video.reason}; replaced')
        self._known |= new
        num_videos = self._count_videos(runner)
        if len(self._known) > self.max_share * num_videos:
            raise BadVideosError.from_videos(
                f'{len(self._known)} of {num_videos} training videos are unreadable, more than '
                f'max_share={self.max_share:g}',
                self._known.values(),
                'fix them or remove them from the annotation',
            )

    def _count_videos(self, runner: Runner) -> int:
        if self._num_videos is None:
            datasets = _text_video_datasets(runner.train_dataloader.dataset)
            self._num_videos = sum(dataset.count_videos() for dataset in datasets)
        return self._num_videos


def _watch(dataset: Any) -> None:
    for inner in _text_video_datasets(dataset):
        inner.bad_videos_watched = True


def _text_video_datasets(dataset: Any) -> list[TextVideoDataset]:
    return [inner for inner in inner_datasets(dataset) if isinstance(inner, TextVideoDataset)]
