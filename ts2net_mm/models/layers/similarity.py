"""Text-video similarity of per-frame features, as pure functions."""

import math
from collections.abc import Iterator
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    'frame_weighted_similarity',
    'frame_weights',
    'masked_mean',
    'mean_pooled_similarity',
]

# Cosines of (text, frame, video) at a time: few enough for the cache of a CPU, or enough for a GPU
CHUNK_ELEMENTS_CPU = 2**20
CHUNK_ELEMENTS_GPU = 2**25
NORM_EPS = 1e-12


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Average the frames that the mask keeps.

    Shape:
        - x: (B, T, D), mask: (B, T) bool -> (B, D)
    """
    weights = mask.to(x.dtype)
    return torch.einsum('btd,bt->bd', x, weights) / weights.sum(dim=1, keepdim=True)


def mean_pooled_similarity(text: Tensor, video: Tensor, frame_mask: Tensor) -> Tensor:
    """Cosine of the sentence and the mean of the normalised frames.

    Shape:
        - text: (N, D), video: (B, T, D), frame_mask: (B, T) bool -> (N, B)
    """
    pooled = masked_mean(F.normalize(video, dim=-1), frame_mask)
    return F.normalize(text, dim=-1) @ F.normalize(pooled, dim=-1).T


def frame_weighted_similarity(
    text: Tensor,
    video: Tensor,
    frame_mask: Tensor,
    *,
    temperature: float = 4.0,
    max_elements: int | None = None,
) -> Tensor:
    """Sum of frame cosines, weighted by how well each frame fits the sentence.

    ``s`` holds the cosine of the sentence and each frame, and the weights are the softmax over the
    valid frames of ``temperature * s / ||s||``, where the norm runs over the valid frames. It is
    computed for a few texts and videos at a time, to avoid a tensor of (N, T, B).

    Args:
        text: Sentence features.
        video: Frame features.
        frame_mask: True for the frames of the video.
        temperature: Sharpness of the weights; 4 in the released model.
        max_elements: Maximum number of (text, frame, video) triples at a time; by default what
            suits the device.

    Shape:
        - text: (N, D), video: (B, T, D), frame_mask: (B, T) bool -> (N, B)
    """
    if max_elements is None:
        max_elements = CHUNK_ELEMENTS_CPU if text.device.type == 'cpu' else CHUNK_ELEMENTS_GPU
    text = F.normalize(text, dim=-1)
    pairs = max(1, max_elements // frame_mask.shape[1])
    columns = max(math.isqrt(pairs), pairs // max(1, len(text)))
    rows = max(1, pairs // min(columns, max(1, len(video))))
    scores = text.new_empty(len(text), len(video))
    for videos in _slices(len(video), columns):
        padding = ~frame_mask[videos].T
        # Padding becomes zeros, whose cosines add nothing to the norm and the sum
        frames = video[videos].transpose(0, 1).masked_fill(padding[..., None], 0.0)  # (T, b, D)
        frames = F.normalize(frames, dim=-1).flatten(0, 1)
        bias = text.new_zeros(padding.shape).masked_fill_(padding, -math.inf)
        for texts in _slices(len(text), rows):
            cosines = (text[texts] @ frames.T).unflatten(1, bias.shape)
            scores[texts, videos] = _weigh_frames(cosines, bias, temperature)
    return scores


def frame_weights(
    text: Tensor, video: Tensor, frame_mask: Tensor, *, temperature: float = 4.0
) -> Tensor:
    """Weights with which `frame_weighted_similarity` sums the cosines of the frames.

    Shape:
        - text: (N, D), video: (B, T, D), frame_mask: (B, T) bool -> (N, B, T), 0 for padding
    """
    normed = F.normalize(video, dim=-1).masked_fill(~frame_mask[..., None], 0.0)
    cosines = torch.einsum('nd,btd->nbt', F.normalize(text, dim=-1), normed)
    logits = temperature * F.normalize(cosines, dim=-1, eps=NORM_EPS)
    return logits.masked_fill(~frame_mask, -math.inf).softmax(dim=-1)


def _slices(length: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, length, step))


def _weigh_frames(cosines: Tensor, bias: Tensor, temperature: float) -> Tensor:
    """Reduce the frames: cosines (n, T, b), bias (T, b), 0 or -inf for padding -> (n, b)."""
    # The frames are not the last axis, so that a CPU computes several videos with one instruction
    scale = temperature * _sum_frames(cosines.square()).clamp_min(NORM_EPS**2).rsqrt()
    logits = torch.addcmul(bias, cosines, scale.unsqueeze(1))
    weights = (logits - logits.amax(dim=1, keepdim=True)).exp()
    return _sum_frames(weights * cosines) / _sum_frames(weights)


def _sum_frames(x: Tensor) -> Tensor:
    """Sum (n, T, b) over T, in the same order for all videos.

    ``Tensor.sum`` and ``softmax`` have another order for the last columns of a matrix: two equal
    videos would not tie.
    """
    return reduce(torch.add, x.unbind(dim=1))
