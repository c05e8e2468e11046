"""Draw what a model does with the tokens of a few videos, during training."""

import logging
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmaction.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ..datasets.bad_videos import bad_videos_of
from ..models import TS2Net
from .resuming import seeded

__all__ = ['TokenVisualizationHook']


@HOOKS.register_module()
class TokenVisualizationHook(Hook):
    """Draw what the model does with the tokens of a few validation videos.

    After every ``interval`` epochs and the last one, the runner's visualizer gets a picture of each
    video and its first caption: the frames with their weights, the chosen patches, the scores, the
    slots and the token shift (see `ts2net_mm.visualization`). It is named ``tokens_<video>``, and
    its step is the epoch; the visualizer's backends write it as a file or for TensorBoard. The
    pictures are those of the trained weights, also with ``EMAHook``. The training is bit-identical
    with and without this hook.

    Args:
        interval: Epochs between two drawings; iterations if ``by_epoch`` is False.
        by_epoch: Whether ``interval`` counts epochs.
        video_ids: The videos, by their names in the annotation; by default ``num_videos`` evenly
            spaced ones.
        num_videos: Number of videos if ``video_ids`` is not given.
        strips: What is drawn, of 'frames', 'chosen', 'scores', 'slots' and 'shift'; by default all.

    Raises:
        ValueError: If a setting is invalid, the run has no validation data, a video is not in them,
            or the model is no TS2Net.
    """

    def __init__(
        self,
        *,
        interval: int = 1,
        by_epoch: bool = True,
        video_ids: Sequence[str] | None = None,
        num_videos: int = 4,
        strips: Sequence[str] | None = None,
    ) -> None:
        if interval < 1 or num_videos < 1:
            raise ValueError(f'interval={interval} and num_videos={num_videos} must be at least 1')
        self.interval = interval
        self.by_epoch = by_epoch
        self.video_ids = video_ids
        self.num_videos = num_videos
        self.strips = strips
        self._videos: list[dict[str, Any]] = []

    def before_train(self, runner: Runner) -> None:
        """Check the run, and read the videos."""
        from ..visualization import STRIP_NAMES  # here, because it imports matplotlib

        if runner.val_loop is None:
            raise ValueError('TokenVisualizationHook draws validation videos, and the run has none')
        if not isinstance(model := _model_of(runner), TS2Net):
            raise ValueError(f'TokenVisualizationHook draws a TS2Net, found {type(model).__name__}')
        if unknown := [name for name in self.strips or () if name not in STRIP_NAMES]:
            raise ValueError(
                f'TokenVisualizationHook: strip {unknown[0]!r} is unknown, choose of '
                f'{", ".join(STRIP_NAMES)}'
            )
        if not is_main_process():
            return
        dataset = runner.val_loop.dataloader.dataset
        with seeded(0):  # the same frames and captions in every run
            read = [_read(dataset, index) for index in self._choose(dataset)]
        self._videos = [video for video in read if video is not None]

    def after_train_epoch(self, runner: Runner) -> None:
        """Draw after an epoch that is due."""
        is_due = self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner)
        if self.by_epoch and is_due:
            self._draw(runner, runner.epoch + 1)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Draw after an iteration that is due."""
        is_due = self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner)
        if not self.by_epoch and is_due:
            self._draw(runner, runner.iter + 1)

    def _draw(self, runner: Runner, step: int) -> None:
        if not self._videos:
            return
        model = _model_of(runner)
        model.eval()
        with seeded(0):
            for video in self._videos:
                runner.visualizer.add_image(video['tag'], self._picture(model, video), step)
        model.train()

    @torch.no_grad()
    def _picture(self, model: TS2Net, video: dict[str, Any]) -> np.ndarray:
        from ..visualization import draw_strips, record_tokens, stack_strips

        tokens = torch.atleast_2d(torch.as_tensor(video['inputs']['text']))[:1]
        text = model.encode_text(tokens.to(next(model.parameters()).device))
        record = record_tokens(
            model, video['inputs'], text, name=video['name'], caption=video['caption']
        )
        return stack_strips(draw_strips(record, self.strips))

    def _choose(self, dataset: Any) -> list[int]:
        """Indices of the videos in the data set."""
        size = len(dataset)
        if self.video_ids is None:
            count = min(self.num_videos, size)
            return [number * size // count for number in range(count)]
        places = {dataset.get_data_info(index)['video_id']: index for index in range(size)}
        missing = [name for name in self.video_ids if name not in places]
        if missing:
            raise ValueError(
                f'TokenVisualizationHook: the validation data have no video {missing[0]!r}'
            )
        return [places[name] for name in self.video_ids]


def _model_of(runner: Runner) -> Any:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _read(dataset: Any, index: int) -> dict[str, Any] | None:
    """Read a video, its first caption and the tag of its picture; None if it is unreadable."""
    info = dataset.get_data_info(index)
    item = dataset[index]
    if bad := bad_videos_of(item):
        print_log(
            f'TokenVisualizationHook leaves out {bad[0].filename}: {bad[0].reason}',
            logger='current',
            level=logging.WARNING,
        )
        return None
    captions = info['text']
    return dict(
        name=str(info['video_id']),
        # part of a file name
        tag='tokens_' + re.sub(r'[^\w.-]', '_', str(info['video_id'])),
        caption=captions if isinstance(captions, str) else captions[0],
        inputs=item['inputs'],
    )
