"""What retrieval metrics need of a model's predictions, small enough to keep and to send."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

__all__ = [
    'VideoPrediction',
    'compact_prediction',
    'join_pairs',
    'reject_duplicates',
    'stack_features',
]

FEATURE_KEYS = ('frame_features', 'frame_mask', 'text_features', 'logit_scale', 'similarity')
POOLED_KEYS = ('video_feature', 'text_feature')  # what MMAction2's own models predict


@dataclass(frozen=True)
class VideoPrediction:
    """Features of one video and of its captions, on the CPU in single precision.

    Args:
        video_id: Key of the video in the annotation file, or the path of its file where the data
            set tells no key; empty if the prediction tells neither.
        captions: Sentences of the video, None if the pipeline does not hand them on.
        frames: Features of the valid frames, (T', D).
        texts: Features of the captions, (C, D).
        logit_scale: Factor between cosine and logit.
        similarity: Config of the model's similarity module.
        hard_negative: Another video of the split, if the annotation names one.
        is_pair: Whether the data set has an item a caption, as MMAction2's has, so that other
            predictions may be of the same video.
    """

    video_id: str
    captions: list[str] | None
    frames: Tensor
    texts: Tensor
    logit_scale: float
    similarity: dict[str, Any]
    hard_negative: str | None = None
    is_pair: bool = False


def compact_prediction(
    sample: Mapping[str, Any], *, hard_negative: str | None = None, logit_scale: float = 100.0
) -> VideoPrediction:
    """Copy what retrieval needs out of one sample that the model returned.

    Args:
        sample: Data sample as a dict, with the ``features`` of TS2Net, or with ``video_feature``
            and ``text_feature`` in them as of MMAction2's models.
        hard_negative: Name of the field that names another video.
        logit_scale: Factor between cosine and logit where the prediction tells none.

    Raises:
        ValueError: If a feature is missing or not finite, a video has no valid frame, or captions
            and their features differ in number.
    """
    features = sample.get('features', {})
    if 'frame_features' not in features and all(key in features for key in POOLED_KEYS):
        features = _as_one_frame(features, logit_scale)
    missing = [key for key in FEATURE_KEYS if key not in features]
    if missing:
        raise ValueError(
            f"the prediction lacks {missing} in 'features' (found {sorted(features)}); this metric "
            "reads what TS2Net or MMAction2's CLIPSimilarity returns for mode='predict'"
        )
    is_pair = 'video_id' not in sample
    video_id = str(sample.get('filename') or '') if is_pair else sample['video_id']
    captions = sample.get('captions')
    frame_mask = features['frame_mask'].bool()
    if not frame_mask.any():
        raise ValueError(f'video {video_id!r} has no valid frame')
    # Both lines copy: pickle writes the whole storage of a view, here the features of the batch.
    frames = features['frame_features'].detach()[frame_mask].to('cpu', torch.float32)
    texts = features['text_features'].detach().to('cpu', torch.float32, copy=True)
    if captions is not None and len(captions) != len(texts):
        raise ValueError(
            f'video {video_id!r} has {len(captions)} captions but {len(texts)} text features'
        )
    for name, feature in (('frame', frames), ('text', texts)):
        if not torch.isfinite(feature).all():
            raise ValueError(f'video {video_id!r} has NaN or infinite {name} features')
    return VideoPrediction(
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
    """Read one vector a video as a video of one frame, whose mean it is."""
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
    """Join the predictions of a data set with an item a caption into one a video.

    The features of a video are those of its first item. Items without any name are videos of their
    own, as MMAction2's metric counts them.
    """
    joined: dict[str, VideoPrediction] = {}
    for number, prediction in enumerate(predictions):
        name = prediction.video_id or f'item {number}'
        first = joined.get(name)
        if first is None or not prediction.is_pair:
            # a name that is not of a pair may not occur twice; the number keeps both
            key = name if first is None else f'{name} {number}'
            joined[key] = replace(prediction, video_id=name)
            continue
        captions = None
        if first.captions is not None and prediction.captions is not None:
            captions = first.captions + prediction.captions
        texts = torch.cat([first.texts, prediction.texts])
        joined[name] = replace(first, captions=captions, texts=texts)
    return list(joined.values())


def reject_duplicates(video_ids: Sequence[str]) -> None:
    """Raise if a video occurs twice.

    Raises:
        ValueError: If so, naming up to five of them.
    """
    twice = [video_id for video_id, count in Counter(video_ids).items() if count > 1]
    if twice:
        raise ValueError(
            f'{len(twice)} of {len(set(video_ids))} videos occur more than once in the results: '
            f'{", ".join(map(repr, twice[:5]))}{", ..." if len(twice) > 5 else ""}'
        )


def stack_features(predictions: Sequence[VideoPrediction]) -> tuple[Tensor, Tensor, Tensor]:
    """Put all features together, frames padded to the longest video.

    Returns:
        Texts (N, D), frames (M, T, D) and frame mask (M, T) bool.
    """
    texts = torch.cat([prediction.texts for prediction in predictions])
    frames = pad_sequence([prediction.frames for prediction in predictions], batch_first=True)
    lengths = torch.tensor([len(prediction.frames) for prediction in predictions])
    return texts, frames, torch.arange(frames.shape[1]) < lengths[:, None]
