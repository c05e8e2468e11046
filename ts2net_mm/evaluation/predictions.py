"""What retrieval metrics need of a model's predictions, small enough to keep and to send."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

__all__ = ['VideoPrediction', 'compact_prediction', 'reject_duplicates', 'stack_features']

FEATURE_KEYS = ('frame_features', 'frame_mask', 'text_features', 'logit_scale', 'similarity')


@dataclass(frozen=True)
class VideoPrediction:
    """Features of one video and of its captions, on the CPU in single precision.

    Args:
        video_id: Key of the video in the annotation file.
        captions: Sentences of the video, None if the pipeline does not hand them on.
        frames: Features of the valid frames, (T', D).
        texts: Features of the captions, (C, D).
        logit_scale: Factor between cosine and logit.
        similarity: Config of the model's similarity module.
        hard_negative: Another video of the split, if the annotation names one.
    """

    video_id: str
    captions: list[str] | None
    frames: Tensor
    texts: Tensor
    logit_scale: float
    similarity: dict[str, Any]
    hard_negative: str | None = None


def compact_prediction(
    sample: Mapping[str, Any], *, hard_negative: str | None = None
) -> VideoPrediction:
    """Copy what retrieval needs out of one sample that the model returned.

    Args:
        sample: Data sample as a dict, with ``features`` and ``video_id``.
        hard_negative: Name of the field that names another video.

    Raises:
        ValueError: If a key is missing, a video has no valid frame, captions and their features
            differ in number, or a feature is not finite.
    """
    features = sample.get('features', {})
    missing = [key for key in FEATURE_KEYS if key not in features]
    if missing:
        raise ValueError(
            f"the prediction lacks {missing} in 'features' (found {sorted(features)}); "
            "this metric reads what TS2Net returns for mode='predict'"
        )
    if 'video_id' not in sample:
        raise ValueError(
            "the prediction lacks 'video_id': name it in PackActionInputs(meta_keys=...)"
        )
    video_id, captions = sample['video_id'], sample.get('captions')
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
    )


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
