"""Collect the videos that cannot be read, name them, and stop where they are too many."""

from typing import Any

from mmaction.registry import HOOKS
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...datasets.bad_videos import BadVideo, BadVideosError, bad_videos_of
from ...datasets.text_video_dataset import TextVideoDataset
from ...datasets.wrappers import inner_datasets
from ...evaluation.metric import reject_bad_videos

__all__ = ['BadVideosHook']


@HOOKS.register_module()
class BadVideosHook(Hook):
    """Tell which videos `TextVideoDataset` could not read, from all workers and processes.

    In training each is named once with the reason, an epoch ends with the number of items that
    others stood in for, and more bad videos than ``max_share`` of the data set's videos end the
    run. In testing a bad video ends the run after the last batch, with a list of all of them,
    unless the data set has ``on_bad_video='skip'``.

    Args:
        max_share: Largest share of the training videos that may be bad, 0 to 1.
        interval: Iterations after which several processes put their findings together.

    Raises:
        ValueError: If ``max_share`` is no share or ``interval`` not positive.
        BadVideosError: If a run has to end, with all bad videos and their reasons.
    """

    def __init__(self, *, max_share: float = 0.01, interval: int = 50) -> None:
        if not 0 <= max_share <= 1 or interval < 1:
            raise ValueError(
                f'max_share={max_share} must be between 0 and 1, interval={interval} at least 1'
            )
        self.max_share = max_share
        self.interval = interval
        self._new: list[list[BadVideo]] = []  # for each item that was replaced
        self._known: dict[str, BadVideo] = {}
        self._num_replaced = 0
        self._num_videos: int | None = None
        self._in_test: list[BadVideo] = []

    def before_train(self, runner: Runner) -> None:
        """Let the data sets leave the naming to this hook."""
        _watch(runner.train_dataloader.dataset)

    def before_train_epoch(self, runner: Runner) -> None:
        """Count from zero."""
        self._num_replaced = 0

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Take the records of a batch."""
        samples = data_batch.get('data_samples', ()) if isinstance(data_batch, dict) else ()
        self._new += [videos for sample in samples or () if (videos := bad_videos_of(sample))]
        if get_world_size() == 1 or self.every_n_train_iters(runner, self.interval):
            self._report(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Report the rest, and the number of the epoch."""
        self._report(runner)
        if self._num_replaced:
            runner.logger.info(
                f'Epoch(train) [{runner.epoch + 1}]  replaced items: {self._num_replaced}, '
                f'bad videos so far: {len(self._known)} of {self._count_videos(runner)}'
            )

    def before_val(self, runner: Runner) -> None:
        """Let the data sets go on after a bad video."""
        _watch(runner.val_dataloader.dataset)

    def before_test(self, runner: Runner) -> None:
        """Let the data sets go on after a bad video."""
        _watch(runner.test_dataloader.dataset)

    def after_val_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Take the records of a batch."""
        self._take_test_batch(*args, **kwargs)

    def after_test_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Take the records of a batch."""
        self._take_test_batch(*args, **kwargs)

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Stop if metrics of other packages have counted what stood in for bad videos."""
        self._stop_test(len(runner.val_dataloader.dataset))

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Stop if metrics of other packages have counted what stood in for bad videos."""
        self._stop_test(len(runner.test_dataloader.dataset))

    def _report(self, runner: Runner) -> None:
        """Put the findings of all processes together, name new ones, stop at too many."""
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
            raise BadVideosError.of(
                f'{len(self._known)} of {num_videos} training videos cannot be read, more than '
                f'max_share={self.max_share:g}',
                self._known.values(),
                'mend them or take them out of the annotation',
            )

    def _count_videos(self, runner: Runner) -> int:
        if self._num_videos is None:
            datasets = _text_video_datasets(runner.train_dataloader.dataset)
            self._num_videos = sum(dataset.count_videos() for dataset in datasets)
        return self._num_videos

    def _take_test_batch(self, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self._in_test += [video for video in bad_videos_of(data_batch) if not video.skip]

    def _stop_test(self, size: int) -> None:
        bad, self._in_test = self._in_test, []
        reject_bad_videos(bad, size)


def _watch(dataset: Any) -> None:
    for one in _text_video_datasets(dataset):
        one.bad_videos_watched = True


def _text_video_datasets(dataset: Any) -> list[TextVideoDataset]:
    return [one for one in inner_datasets(dataset) if isinstance(one, TextVideoDataset)]
