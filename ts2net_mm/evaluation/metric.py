"""Text-video retrieval as a metric of MMEngine's evaluation loop."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmaction.evaluation.metrics import RetrievalMetric
from mmaction.registry import METRICS, MODELS
from mmengine.device import get_device
from mmengine.logging import print_log
from torch import Tensor

from ..datasets.bad_videos import BadVideo, bad_videos_of
from .bank_queries import BankQueries, query_bank_options
from .dump import save_similarity
from .left_out import left_out_metrics, reject_bad_videos, split_left_out
from .predictions import (
    VideoPrediction,
    compact_prediction,
    join_pairs,
    reject_duplicates,
    stack_features,
)
from .ranking import METRIC_NAMES
from .report import measure_similarity

__all__ = ['TextVideoRetrievalMetric']


@METRICS.register_module()
class TextVideoRetrievalMetric(RetrievalMetric):
    """Recalls and ranks of both directions, with any number of captions a video.

    It gathers the frame features of each video and the features of its captions from all processes,
    and compares all with all on one of them. See `retrieval_metrics` for what is counted. Videos
    that the data set skips as unreadable are no queries and no candidates;
    ``left_out/videos`` and ``left_out/texts`` count them.

    Predictions of MMAction2's own models, with one vector a video and one a caption, are compared
    by their cosines, as MMAction2's `RetrievalMetric` does. Items without a ``video_id`` may be
    several of one video: those with the same ``filename`` are joined, and those without count as
    videos of their own.

    Args:
        metric_list: Which of R1, R5, R10, R50, MdR and MnR to report, in both directions.
        inverted_softmax: Whether to report ``t2v_dsl/...`` and ``v2t_dsl/...`` too.
        query_bank: Settings of a bank of training captions, such as
            ``dict(ann_file='data/msrvtt/train_9k.json')``; see `QueryBankOptions`. Reports
            ``t2v_qb/...`` too, by `dynamic_inverted_softmax`. Needs ``QueryBankHook`` in
            ``custom_hooks``, as only the model can encode the captions.
        dump: Path of an ``.npz`` for the logits, video ids and captions; see `save_similarity`.
        similarity: Config of a similarity module to use instead of the model's own.
        hard_negative: Annotation field that names, for some videos, another video of the split.
            Reports ``t2v/{field}_acc``, the percentage of the texts of these videos for which the
            right video scores strictly higher.
        logit_scale: Factor between cosine and logit for predictions that tell none, such as those
            of MMAction2's models; CLIP's is 100. It matters to the inverted softmax.
        collect_device: Where results of several processes meet, 'cpu' or 'gpu'.
        prefix: Put before every key, with a slash; nothing by default.

    Raises:
        ValueError: If a name in ``metric_list`` is unknown, ``dump`` is no ``.npz``,
            ``logit_scale`` is not positive or ``query_bank`` makes no sense; later on predictions
            that cannot be ranked, naming the video, and if the features of the bank are missing.

    Example:
        >>> from ts2net_mm.evaluation import TextVideoRetrievalMetric
        >>> metric = TextVideoRetrievalMetric(metric_list=('R1', 'MdR'))
        >>> for name, feature in (('a.mp4', [1.0, 0.0]), ('b.mp4', [0.0, 1.0])):
        ...     feature = torch.tensor([feature])
        ...     features = dict(
        ...         frame_features=feature, text_features=feature, frame_mask=torch.ones(1),
        ...         logit_scale=100.0, similarity=dict(type='MeanPooledSimilarity'))
        ...     metric.process(None, [dict(video_id=name, features=features)])
        >>> metric.evaluate(size=2)
        {'t2v/R1': 100.0, 't2v/MdR': 1.0, 'v2t/R1': 100.0, 'v2t/MdR': 1.0}
    """

    default_prefix = ''

    def __init__(
        self,
        *,
        metric_list: str | Sequence[str] = METRIC_NAMES,
        inverted_softmax: bool = False,
        query_bank: dict | None = None,
        dump: str | None = None,
        similarity: dict | None = None,
        hard_negative: str | None = None,
        logit_scale: float = 100.0,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        names = (metric_list,) if isinstance(metric_list, str) else tuple(metric_list)
        unknown = [name for name in names if name not in METRIC_NAMES]
        if unknown or not names:
            raise ValueError(f'metric_list={metric_list!r} must name some of {METRIC_NAMES}')
        if dump is not None and not str(dump).endswith('.npz'):
            raise ValueError(f'dump={str(dump)!r} must end in .npz')
        if not logit_scale > 0:
            raise ValueError(f'logit_scale={logit_scale} must be positive')
        self.metric_list = names
        self.inverted_softmax = inverted_softmax
        self.query_bank = None if query_bank is None else query_bank_options(query_bank)
        self._bank: BankQueries | None = None
        self._bank_features: Tensor | None = None
        self.dump = dump
        self.similarity = similarity
        self.hard_negative = hard_negative
        self.logit_scale = logit_scale

    def receive_bank(self, queries: BankQueries, features: Tensor | None) -> None:
        """Take over the query bank of the next evaluation.

        Args:
            queries: The captions of the bank.
            features: Their features, (Q, D); None but on the main process.

        Raises:
            ValueError: If a feature is not finite, naming its caption.
        """
        if features is not None:
            bad = (~torch.isfinite(features).all(dim=1)).nonzero()
            if len(bad):
                caption = queries.captions[int(bad[0])]
                raise ValueError(
                    f'query_bank: {len(bad)} of {len(features)} captions have NaN or infinite '
                    f'features, the first is {caption!r}'
                )
        self._bank, self._bank_features = queries, features

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the features of a batch of predictions."""
        if self.query_bank is not None and self._bank is None:
            raise ValueError(
                "query_bank needs dict(type='QueryBankHook') in custom_hooks, "
                'which encodes its captions with the model'
            )
        for sample in data_samples:
            if bad := bad_videos_of(sample):
                self.results.append(bad[0])  # in its place: shards are put together by position
                continue
            prediction = compact_prediction(
                sample, hard_negative=self.hard_negative, logit_scale=self.logit_scale
            )
            if self.dump and prediction.captions is None:
                raise ValueError(
                    f"dump={str(self.dump)!r} needs 'captions', which the prediction of "
                    f'{prediction.video_id or "a video without a name"!r} lacks: TextVideoDataset '
                    'tells them, name them in PackActionInputs(meta_keys=...)'
                )
            self.results.append(prediction)

    def evaluate(self, size: int) -> dict[str, float]:
        """Compute the metrics in the main process.

        Raises:
            BadVideosError: In all processes, if videos of any of them could not be read and are not
                to be skipped.
        """
        reject_bad_videos([one for one in self.results if isinstance(one, BadVideo)], size)
        return super().evaluate(size)

    def compute_metrics(self, results: list[VideoPrediction | BadVideo]) -> dict[str, float]:
        """Rank the predictions of the whole split."""
        predictions, left_out = split_left_out(results)
        if nameless := sum(not prediction.video_id for prediction in predictions):
            print_log(
                f'{nameless} predictions name no video and count as videos of their own; '
                "PackActionInputs(meta_keys=('filename',)) joins the captions of a video",
                logger='current',
            )
        predictions = join_pairs(predictions)
        return self._rank(predictions, left_out) | left_out_metrics(left_out)

    def _rank(
        self, results: list[VideoPrediction], left_out: Sequence[BadVideo]
    ) -> dict[str, float]:
        if not results:
            raise ValueError('there are no test videos to rank')
        video_ids = [prediction.video_id for prediction in results]
        reject_duplicates(video_ids)
        owners = np.repeat(np.arange(len(results)), [len(one.texts) for one in results])
        print_log(f'Retrieval over {len(results)} videos and {len(owners)} texts', logger='current')
        logits, bank_logits = self._compare(results)
        metrics = self._report(logits, owners, bank_logits, results[0].logit_scale)
        if self.hard_negative:
            key = f't2v/{self.hard_negative}_acc'
            gone = {video.video_id for video in left_out}
            metrics[key] = self._hard_negative_accuracy(results, logits, owners, gone)
        if self.dump:
            save_similarity(
                self.dump,
                similarity=logits,
                video_of_text=owners,
                video_ids=video_ids,
                captions=[caption for one in results for caption in one.captions or ()],
                logit_scale=results[0].logit_scale,
                bank_similarity=bank_logits,
                bank_captions=self._bank.captions if self._bank else None,
            )
        return metrics

    @torch.no_grad()
    def _compare(self, results: Sequence[VideoPrediction]) -> tuple[np.ndarray, np.ndarray | None]:
        """Compare all texts with all videos: (N, M) with the logit scale, and (Q, M) of a bank."""
        device = get_device()
        similarity = MODELS.build(dict(self.similarity or results[0].similarity)).to(device)
        texts, frames, mask = (feature.to(device) for feature in stack_features(results))

        def logits_of(texts: Tensor) -> np.ndarray:
            logits = similarity(texts.to(device), frames, mask).float()
            return logits.mul_(results[0].logit_scale).cpu().numpy()

        bank_logits = None
        if self._bank is not None and self._bank_features is not None:
            _warn_of_test_videos(self._bank, [one.video_id for one in results])
            bank_logits = logits_of(self._bank_features)
        return logits_of(texts), bank_logits

    def _report(
        self,
        logits: np.ndarray,
        owners: np.ndarray,
        bank_logits: np.ndarray | None,
        logit_scale: float,
    ) -> dict[str, float]:
        bank: dict[str, Any] = {}
        if self.query_bank is not None:
            bank = dict(
                bank_logits=bank_logits,
                inverse_temperature=self.query_bank.inverse_temperature,
                topk=self.query_bank.topk,
                logit_scale=logit_scale,
            )
        metrics = measure_similarity(logits, owners, inverted_softmax=self.inverted_softmax, **bank)
        return {
            key: value for key, value in metrics.items() if key.split('/')[1] in self.metric_list
        }

    def _hard_negative_accuracy(
        self,
        results: Sequence[VideoPrediction],
        logits: np.ndarray,
        owners: np.ndarray,
        left_out: set[str],
    ) -> float:
        """Percentage of texts whose video beats the one that its annotation names."""
        column = {prediction.video_id: index for index, prediction in enumerate(results)}
        rival_of_video = np.full(len(results), -1)
        for index, prediction in enumerate(results):
            rival = prediction.hard_negative
            if rival is None or rival in left_out:
                continue
            if column.get(rival, index) == index:
                raise ValueError(
                    f'{self.hard_negative}={rival!r} of video {prediction.video_id!r} '
                    f'names no other of the {len(results)} test videos'
                )
            rival_of_video[index] = column[rival]
        rivals = rival_of_video[owners]
        rows = np.flatnonzero(rivals >= 0)
        if not rows.size:
            raise ValueError(
                f'no test video has the field {self.hard_negative!r}: '
                'is it in the annotation file and in PackActionInputs(meta_keys=...)?'
            )
        return 100.0 * float(np.mean(logits[rows, owners[rows]] > logits[rows, rivals[rows]]))


def _warn_of_test_videos(queries: BankQueries, video_ids: Sequence[str]) -> None:
    """Say so if the bank may hold captions of test videos, which would make the numbers void."""
    if shared := sorted(set(queries.video_ids) & set(video_ids)):
        print_log(
            f'query_bank: {len(shared)} videos of the bank bear names of test videos, the first is '
            f'{shared[0]!r}: if they are the same videos, t2v_qb has seen test captions',
            logger='current',
            level=logging.WARNING,
        )
