"""What retrieval metrics need of a model's predictions, small enough to keep and to send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

__all__ = ['VideoPrediction', 'join_pairs', 'stack_features']

FEATURE_KEYS = ('frame_features', 'frame_mask', 'text_features', 'logit_scale', 'similarity')
POOLED_KEYS = ('video_feature', 'text_feature')  # what MMAction2's own models predict


@dataclass(frozen=True)
class VideoPrediction:
    """Features of one video and of its captions, on the CPU in single precision.

    Args:
        video_id: Key of the video in the annotation file, or the path of its file if the data set
            gives no key; empty if the prediction has neither.
        captions: Sentences of the video, None if the pipeline does not pass them on.
        frames: Features of the valid frames, (T', D).
        texts: Features of the captions, (C, D), or of their words, (C, L, D).
        logit_scale: Factor between cosine and logit.
        similarity: Config of the model's similarity module.
        hard_negative: Another video of the split, if the annotation names one.
        is_pair: Whether each item of the data set is a caption, as in MMAction2's data sets, so
            that other predictions may be of the same video.
    """

    video_id: str
    captions: list[str] | None
    frames: Tensor
    texts: Tensor
    logit_scale: float
    similarity: dict[str, Any]
    hard_negative: str | None = None
    is_pair: bool = False

    @classmethod
    def from_sample(
        cls, sample: Mapping[str, Any], *, hard_negative: str | None, logit_scale: float
    ) -> VideoPrediction:
        """Copy what retrieval needs from a sample that the model returned.

        Args:
            sample: Data sample as a dict, with the ``features`` of TS2Net, or with
                ``video_feature`` and ``text_feature`` in them as MMAction2's models return them.
            hard_negative: Name of the field that names another video.
            logit_scale: Factor between cosine and logit if the prediction has none.

        Raises:
            ValueError: If a feature is missing or not finite, a video has no valid frame, or
                captions and their features differ in number.
        """
        features = sample.get('features', {})
        if 'frame_features' not in features and all(key in features for key in POOLED_KEYS):
            features = _as_one_frame(features, logit_scale)
        missing = [key for key in FEATURE_KEYS if key not in features]
        if missing:
            raise ValueError(
                f"the prediction lacks {missing} in 'features' (found {sorted(features)}); this "
                "metric reads what TS2Net or MMAction2's CLIPSimilarity returns for mode='predict'"
            )
        is_pair = 'video_id' not in sample
        video_id = str(sample.get('filename') or '') if is_pair else sample['video_id']
        captions = sample.get('captions')
        frame_mask = features['frame_mask'].bool()
        if not frame_mask.any():
            raise ValueError(f'video {video_id!r} has no valid frame')
        # Both lines copy: pickle writes the whole storage of a view, here the features of the batch
        frames = features['frame_features'].detach()[frame_mask].to('cpu', torch.float32)
        texts = features['text_features'].detach().to('cpu', torch.float32, copy=True)
        if captions is not None and len(captions) != len(texts):
            raise ValueError(
                f'video {video_id!r} has {len(captions)} captions but {len(texts)} text features'
            )
        for name, feature in (('frame', frames), ('text', texts)):
            if not torch.isfinite(feature).all():
                raise ValueError(f'video {video_id!r} has NaN or infinite {name} features')
        return cls(
            video_id=video_id,
            captions=None if captions is None else list(captions),
            frames=frames,
            texts=texts,
            logit_scale=float(features['logit_scale']),
            similarity=dict(features['similarity']),
            hard_negative=sample.get(hard_negative) if hard_negative else None,
            is_pair=is_pair,
        )


def _as_one_frame(features: Mapping[str, Any], logit_scale: float) -> dict[str, Any]:
    """Turn one vector a video into a video of one frame, whose mean it is."""
    video, text = (features[key] for key in POOLED_KEYS)
    if video.ndim != 1 or text.shape != video.shape:
        raise ValueError(
            f'video_feature has the shape {tuple(video.shape)} and text_feature '
            f'{tuple(text.shape)}, expected one vector each, of the same length'
        )
    return dict(
        frame_features=video[None],
        frame_mask=video.new_ones(1),
        text_features=text[None],
        logit_scale=logit_scale,
        similarity=dict(type='mmaction.MeanPooledSimilarity'),
    )


def join_pairs(predictions: Sequence[VideoPrediction]) -> list[VideoPrediction]:
    """Join predictions of one caption each into predictions of one video each.

    The features of a video are those of its first item. Items without a name become separate
    videos, as in MMAction2's metric.

    Raises:
        ValueError: If a video that is no pair occurs twice.
    """
    joined: dict[str, VideoPrediction] = {}
    repeated: set[str] = set()
    for number, prediction in enumerate(predictions):
        name = prediction.video_id or f'item {number}'
        first = joined.get(name)
        if first is None:
            joined[name] = replace(prediction, video_id=name)
        elif prediction.is_pair:
            captions = None
            if first.captions is not None and prediction.captions is not None:
                captions = first.captions + prediction.captions
            texts = torch.cat([first.texts, prediction.texts])
            joined[name] = replace(first, captions=captions, texts=texts)
        else:
            repeated.add(name)
    if repeated:
        names = [repr(name) for name in joined if name in repeated]
        raise ValueError(
            f'{len(names)} of {len(joined)} videos occur more than once in the results: '
            f'{", ".join(names[:5])}{", ..." if len(names) > 5 else ""}'
        )
    return list(joined.values())


def stack_features(predictions: list[VideoPrediction]) -> tuple[Tensor, Tensor, Tensor]:
    """Concatenate all features, frames padded to the longest video.

    The predictions in the list are replaced by those that share the memory of the result, so that
    features are not held twice.

    Returns:
        Texts (N, D) or (N, L, D), frames (M, T, D) and frame mask (M, T) bool.
    """
    lengths = torch.tensor([len(prediction.frames) for prediction in predictions])
    counts = [len(prediction.texts) for prediction in predictions]
    texts = torch.empty(sum(counts), *predictions[0].texts.shape[1:])
    frames = torch.zeros(len(predictions), int(lengths.max()), predictions[0].frames.shape[1])
    for index, (rows, video) in enumerate(zip(texts.split(counts), frames, strict=True)):
        old = predictions[index]
        rows.copy_(old.texts)
        video = video[: len(old.frames)].copy_(old.frames)
        predictions[index] = replace(old, texts=rows, frames=video)
    return texts, frames, torch.arange(frames.shape[1]) < lengths[:, None]
