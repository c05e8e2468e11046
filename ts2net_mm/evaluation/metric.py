"""Text-video retrieval as a metric of MMEngine's evaluation loop."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmaction.evaluation.metrics import RetrievalMetric
from mmaction.registry import METRICS, MODELS
from mmengine.device import get_device
from mmengine.dist import all_gather_object, broadcast_object_list
from mmengine.logging import print_log
from torch import Tensor

from ..datasets.bad_videos import BadVideo, BadVideosError, bad_videos_of
from .collection import collect_on_main
from .comparison import FeatureScores
from .hard_negatives import HardNegatives
from .predictions import VideoPrediction, join_pairs, stack_features
from .query_bank import QueryBank, QueryBankOptions
from .ranking import METRIC_NAMES, check_owners, measure_ranks
from .report import measure_normalised
from .similarity_file import save_similarity
from .sinkhorn import SinkhornOptions

__all__ = ['TextVideoRetrievalMetric', 'reject_bad_videos']


@METRICS.register_module()
class TextVideoRetrievalMetric(RetrievalMetric):
    """Recalls and ranks of both directions, with any number of captions a video.

    The main process gets the frame features of each video and the features of its captions from all
    processes, and compares all with all, a tile at a time. The whole matrix exists only for
    ``inverted_softmax``, ``sinkhorn``, ``query_bank`` and ``dump``. See `retrieval_metrics` for
    what is counted.
    Videos that the data set skips as unreadable are neither queries nor candidates;
    ``skipped/videos`` and ``skipped/texts`` count them.

    Predictions of MMAction2's own models, with one vector a video and one a caption, are compared
    by their cosines, as in MMAction2's `RetrievalMetric`. Several items without a ``video_id`` may
    belong to one video: those with the same ``filename`` are joined, and those without a
    ``filename`` count as separate videos.

    Args:
        metric_list: Which of R1, R5, R10, R50, MdR and MnR to report, in both directions.
        inverted_softmax: Whether to report ``t2v_dsl/...`` and ``v2t_dsl/...`` too.
        sinkhorn: True or settings, such as ``dict(num_iterations=20)``, to report
            ``t2v_sinkhorn/...`` and ``v2t_sinkhorn/...`` too; see `SinkhornOptions`. With a query
            bank also ``t2v_qb_sinkhorn/...``, by `sinkhorn_bank_scores`.
        query_bank: Settings of a bank of training captions, such as
            ``dict(ann_file='data/msrvtt/train_9k.json')``; see `QueryBankOptions`. Reports
            ``t2v_qb/...`` too, by `dynamic_inverted_softmax`. Needs ``QueryBankHook`` in
            ``custom_hooks``, as only the model can encode the captions.
        dump: Path of an ``.npz`` for the logits, video ids and captions; see `save_similarity`.
        similarity: Config of a similarity module to use instead of the model's own. It must compare
            each sentence with each video by itself, because it is called for tiles.
        hard_negative: Annotation field that names, for some videos, another video of the split.
            Reports ``t2v/{field}_acc``, the percentage of the texts of these videos for which the
            right video scores strictly higher.
        logit_scale: Factor between cosine and logit if a prediction has none, such as those of
            MMAction2's models; CLIP's is 100. It matters to the inverted softmax.
        collect_device: Accepted as in MMEngine's metrics, without effect: results travel through
            the process group, on its own device.
        prefix: Put before every key, with a slash; nothing by default.

    Raises:
        ValueError: If a name in ``metric_list`` is unknown, ``dump`` is no ``.npz``,
            ``logit_scale`` is not positive, ``sinkhorn`` or ``query_bank`` is invalid; later on
            predictions that cannot be ranked, naming the video, and if the features of the bank are
            missing.

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
        sinkhorn: bool | dict = False,
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
        if not names or not set(names) <= set(METRIC_NAMES):
            raise ValueError(f'metric_list={metric_list!r} must name some of {METRIC_NAMES}')
        if dump is not None and not str(dump).endswith('.npz'):
            raise ValueError(f'dump={str(dump)!r} must end in .npz')
        if not logit_scale > 0:
            raise ValueError(f'logit_scale={logit_scale} must be positive')
        self.metric_list = names
        self.inverted_softmax = inverted_softmax
        self.sinkhorn = SinkhornOptions.from_config(sinkhorn)
        self.query_bank = None if query_bank is None else QueryBankOptions.from_config(query_bank)
        self._bank: QueryBank | None = None
        self._bank_features: Tensor | None = None
        self.dump = dump
        self.similarity = similarity
        self.hard_negative = hard_negative
        self.logit_scale = logit_scale

    def receive_bank(self, bank: QueryBank, features: Tensor | None) -> None:
        """Set the query bank of the next evaluation.

        Args:
            bank: The captions of the bank.
            features: Their features, (Q, D) or (Q, L, D), on the main process; None on the others.

        Raises:
            ValueError: If a feature is not finite, naming its caption.
        """
        if features is not None:
            bad = (~torch.isfinite(features).flatten(1).all(dim=1)).nonzero()
            if len(bad):
                raise ValueError(
                    f'query_bank: {len(bad)} of {len(features)} captions have NaN or infinite '
                    f'features, the first is {bank.captions[int(bad[0])]!r}'
                )
        self._bank, self._bank_features = bank, features

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the features of a batch of predictions."""
        if self.query_bank is not None and self._bank is None:
            raise ValueError(
                "query_bank needs dict(type='QueryBankHook') in custom_hooks, "
                'which encodes its captions with the model'
            )
        for sample in data_samples:
            if bad := bad_videos_of(sample):
                # kept as a result, because MMEngine interleaves those of the processes by position
                self.results.append(bad[0])
                continue
            prediction = VideoPrediction.from_sample(
                sample, hard_negative=self.hard_negative, logit_scale=self.logit_scale
            )
            if self.dump and prediction.captions is None:
                raise ValueError(
                    f"dump={str(self.dump)!r} needs 'captions', which the prediction of "
                    f'{prediction.video_id or "a video without a name"!r} lacks: TextVideoDataset '
                    'provides them, name them in PackActionInputs(meta_keys=...)'
                )
            self.results.append(prediction)

    def evaluate(self, size: int) -> dict[str, float]:
        """Compute the metrics in the main process.

        Raises:
            BadVideosError: In all processes, if any of them has unreadable videos that are not to
                be skipped.
        """
        reject_bad_videos([result for result in self.results if isinstance(result, BadVideo)], size)
        results = collect_on_main(self.results, size)
        shared: list[dict[str, float]] = [{}]
        if results is not None:
            prefix = f'{self.prefix}/' if self.prefix else ''
            metrics = self.compute_metrics(results)
            shared = [{f'{prefix}{key}': value for key, value in metrics.items()}]
        broadcast_object_list(shared)
        return shared[0]

    def compute_metrics(self, results: list[VideoPrediction | BadVideo]) -> dict[str, float]:
        """Rank the predictions of the whole split; the list is empty afterwards."""
        skipped = [result for result in results if isinstance(result, BadVideo)]
        predictions = [result for result in results if isinstance(result, VideoPrediction)]
        results.clear()  # else all features would be held twice, here and as they are stacked
        if nameless := sum(not prediction.video_id for prediction in predictions):
            print_log(
                f'{nameless} predictions name no video and count as separate videos; '
                "PackActionInputs(meta_keys=('filename',)) joins the captions of a video",
                logger='current',
            )
        videos = join_pairs(predictions)
        predictions.clear()
        if not videos:
            raise ValueError('there are no test videos to rank')
        counts = [len(video.texts) for video in videos]
        owners = check_owners(np.repeat(np.arange(len(videos)), counts), sum(counts), len(videos))
        print_log(f'Retrieval over {len(videos)} videos and {len(owners)} texts', logger='current')
        is_matrix_needed = self.inverted_softmax or self.sinkhorn or self.query_bank or self.dump
        matrix = np.empty((len(owners), len(videos)), np.float32) if is_matrix_needed else None
        scores = self._compare(videos, matrix)
        observers = []
        if self.hard_negative:
            names = {video.video_id for video in skipped}
            hard_negatives = HardNegatives(self.hard_negative, videos, owners, skipped=names)
            observers.append(hard_negatives)
        measured = measure_ranks(scores, owners, len(videos), observers=observers)
        if matrix is not None:
            measured |= self._use_matrix(matrix, scores, videos, owners)
        metrics = {k: value for k, value in measured.items() if k.split('/')[1] in self.metric_list}
        for hard_negatives in observers:
            metrics[f't2v/{self.hard_negative}_acc'] = hard_negatives.accuracy
        return metrics | _skipped_metrics(skipped)

    def _compare(self, videos: list[VideoPrediction], matrix: np.ndarray | None) -> FeatureScores:
        """Prepare to compare all texts with all videos."""
        device = get_device()
        similarity = MODELS.build(dict(self.similarity or videos[0].similarity)).to(device)
        texts, frames, frame_mask = (feature.to(device) for feature in stack_features(videos))
        scale = videos[0].logit_scale
        return FeatureScores(
            similarity, texts, frames, frame_mask, logit_scale=scale, matrix=matrix
        )

    def _use_matrix(
        self,
        matrix: np.ndarray,
        scores: FeatureScores,
        videos: Sequence[VideoPrediction],
        owners: np.ndarray,
    ) -> dict[str, float]:
        """Rank the whole matrix after each normalisation, and write it if requested."""
        bank_logits = None
        settings: dict[str, Any] = {}
        if self.query_bank and self._bank and self._bank_features is not None:
            _warn_of_test_videos(self._bank, [video.video_id for video in videos])
            bank_logits = scores.compare(self._bank_features).cpu().numpy()
            settings['inverse_temperature'] = self.query_bank.inverse_temperature
            settings['topk'] = self.query_bank.topk
        metrics = measure_normalised(
            matrix,
            owners,
            inverted_softmax=self.inverted_softmax,
            sinkhorn=self.sinkhorn,
            bank_logits=bank_logits,
            logit_scale=scores.logit_scale,
            **settings,
        )
        if self.dump:
            save_similarity(
                self.dump,
                similarity=matrix,
                video_of_text=owners,
                video_ids=[video.video_id for video in videos],
                captions=[caption for video in videos for caption in video.captions or ()],
                logit_scale=scores.logit_scale,
                bank_similarity=bank_logits,
                bank_captions=self._bank.captions if self._bank else None,
            )
        return metrics


def reject_bad_videos(videos: Sequence[BadVideo], size: int) -> None:
    """Raise if any process has unreadable videos not to be skipped; all processes must call it.

    Args:
        videos: Those of this process.
        size: Videos of the split.

    Raises:
        BadVideosError: In all processes, naming all of the videos.
    """
    shards = all_gather_object([video for video in videos if not video.skip])
    bad = {video for shard in shards for video in shard}
    if bad:
        raise BadVideosError.from_videos(
            f'{len(bad)} of {size} test videos are unreadable',
            bad,
            "fix them, or skip them with dataset=dict(on_bad_video='skip')",
        )


def _skipped_metrics(videos: Sequence[BadVideo]) -> dict[str, float]:
    """Log the skipped videos, and count them and their captions."""
    if not videos:
        return {}
    lines = (f'{video.filename}: {video.reason}' for video in videos)
    print_log(
        '\n  '.join(('Skipped as queries and candidates:', *lines)),
        logger='current',
        level=logging.WARNING,
    )
    texts = sum(video.num_texts for video in videos)
    return {'skipped/videos': float(len(videos)), 'skipped/texts': float(texts)}


def _warn_of_test_videos(bank: QueryBank, video_ids: Sequence[str]) -> None:
    """Warn if the bank may hold captions of test videos, which would invalidate the numbers."""
    if shared := sorted(set(bank.video_ids) & set(video_ids)):
        print_log(
            f'query_bank: {len(shared)} videos of the bank have names of test videos, the first is '
            f'{shared[0]!r}: if they are the same videos, t2v_qb has seen test captions',
            logger='current',
            level=logging.WARNING,
        )
