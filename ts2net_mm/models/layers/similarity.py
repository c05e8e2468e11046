"""Text-video similarity of per-frame features, as pure functions."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ['frame_weighted_similarity', 'masked_mean', 'mean_pooled_similarity']

# 4M cosines of (texts, frames) at a time: 16 MiB in fp32, which fits into the cache of a CPU
MAX_CHUNK_ELEMENTS = 4 * 1024 * 1024


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
    max_elements: int = MAX_CHUNK_ELEMENTS,
) -> Tensor:
    """Sum of frame cosines, weighted by how well each frame fits the sentence.

    ``s`` holds the cosine of the sentence and each frame, and the weights are the softmax over the
    valid frames of ``temperature * s / ||s||``, where the norm runs over the valid frames. It is
    computed for a few texts at a time, to avoid a tensor of (N, B, T).

    Args:
        text: Sentence features.
        video: Frame features.
        frame_mask: True for the frames of the video.
        temperature: Sharpness of the weights; 4 in the released model.
        max_elements: Maximum number of (text, video, frame) triples at a time.

    Shape:
        - text: (N, D), video: (B, T, D), frame_mask: (B, T) bool -> (N, B)
    """
    text, video = F.normalize(text, dim=-1), F.normalize(video, dim=-1)
    rows = max(1, max_elements // max(1, frame_mask.numel()))
    scores = text.new_empty(len(text), len(video))
    for first in range(0, len(text), rows):
        part = text[first : first + rows]
        cosines = (part @ video.flatten(0, 1).T).unflatten(1, frame_mask.shape)
        scores[first : first + rows] = _weigh_frames(cosines, frame_mask, temperature)
    return scores


def _weigh_frames(cosines: Tensor, frame_mask: Tensor, temperature: float) -> Tensor:
    """Reduce the frames: (N, B, T), (B, T) bool -> (N, B)."""
    cosines = cosines.masked_fill(~frame_mask, 0.0)  # adds nothing to the norm and the sum
    weights = temperature * F.normalize(cosines, dim=-1)
    weights = weights.masked_fill(~frame_mask, float('-inf')).softmax(dim=-1)
    return (weights * cosines).sum(dim=-1)
