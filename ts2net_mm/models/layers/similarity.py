"""Text-video similarity of per-frame features, as pure functions."""

import math
from collections.abc import Callable, Iterator
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    'best_frame_similarity',
    'frame_weighted_similarity',
    'frame_weights',
    'masked_mean',
    'mean_pooled_similarity',
    'token_interaction',
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

    def reduce_frames(cosines: Tensor, bias: Tensor) -> Tensor:
        return _weigh_frames(cosines, bias, temperature)

    return _compare_frames(text, video, frame_mask, reduce_frames, max_elements)


def best_frame_similarity(
    text: Tensor, video: Tensor, frame_mask: Tensor, *, max_elements: int | None = None
) -> Tensor:
    """Cosine of the sentence and the frame that fits it best.

    Args:
        text: Sentence features.
        video: Frame features.
        frame_mask: True for the frames of the video.
        max_elements: See `frame_weighted_similarity`.

    Shape:
        - text: (N, D), video: (B, T, D), frame_mask: (B, T) bool -> (N, B)
    """

    def reduce_frames(cosines: Tensor, bias: Tensor) -> Tensor:
        return (cosines + bias).amax(dim=1)

    return _compare_frames(text, video, frame_mask, reduce_frames, max_elements)


def _compare_frames(
    text: Tensor,
    video: Tensor,
    frame_mask: Tensor,
    reduce_frames: Callable[[Tensor, Tensor], Tensor],
    max_elements: int | None,
) -> Tensor:
    """Reduce the cosines of sentences and frames, for a few texts and videos at a time.

    Args:
        text: Sentence features, (N, D).
        video: Frame features, (B, T, D).
        frame_mask: True for the frames of the video, (B, T).
        reduce_frames: Gets cosines (n, T, b), 0 for padding, and a bias (T, b), -inf for padding
            and else 0; returns (n, b).
        max_elements: Maximum number of cosines at a time; by default what suits the device.
    """
    text = F.normalize(text, dim=-1)
    rows, columns = _chunk_sizes(text, video, frame_mask.shape[1], max_elements)
    scores = text.new_empty(len(text), len(video))
    for videos in _slices(len(video), columns):
        padding = ~frame_mask[videos].T
        # Padding becomes zeros, whose cosines add nothing to a sum
        frames = video[videos].transpose(0, 1).masked_fill(padding[..., None], 0.0)  # (T, b, D)
        frames = F.normalize(frames, dim=-1).flatten(0, 1)
        bias = text.new_zeros(padding.shape).masked_fill_(padding, -math.inf)
        for texts in _slices(len(text), rows):
            cosines = (text[texts] @ frames.T).unflatten(1, bias.shape)
            scores[texts, videos] = reduce_frames(cosines, bias)
    return scores


def token_interaction(
    words: Tensor, video: Tensor, frame_mask: Tensor, *, max_elements: int | None = None
) -> Tensor:
    """Mean of what the words find among the frames, and the frames among the words.

    The weighted token-wise interaction of DRL (Wang et al. 2022, arXiv 2203.07111): each word takes
    the cosine of the frame that fits it best, each frame that of the best word, and both are summed
    with the weights of the words and of the frames. The weight of a word or frame is its length,
    divided by the sum of the lengths; words of length 0 are padding.

    Args:
        words: Features of the words.
        video: Frame features.
        frame_mask: True for the frames of the video.
        max_elements: Maximum number of (word, frame) pairs at a time; by default what suits the
            device.

    Shape:
        - words: (N, L, D), video: (B, T, D), frame_mask: (B, T) bool -> (N, B)
    """
    per_pair = words.shape[1] * frame_mask.shape[1]
    rows, columns = _chunk_sizes(words, video, per_pair, max_elements)
    word_shares, words, word_bias = _split_weights(words, words.any(dim=-1))  # (N, L)
    frame_shares, frames, frame_bias = _split_weights(video, frame_mask)  # (B, T)
    scores = words.new_empty(len(words), len(frames))
    for videos in _slices(len(frames), columns):
        # the videos are the last axis, see _weigh_frames
        flat = frames[videos].transpose(0, 1).flatten(0, 1)
        shares, bias = frame_shares[videos].T, frame_bias[videos].T
        for texts in _slices(len(words), rows):
            cosines = (words[texts] @ flat.T).unflatten(2, bias.shape)  # (n, L, T, b)
            of_words = (cosines + bias).amax(dim=2)  # (n, L, b)
            of_frames = (cosines + word_bias[texts][..., None, None]).amax(dim=1)  # (n, T, b)
            found = _sum_frames(of_words * word_shares[texts][..., None])
            scores[texts, videos] = (found + _sum_frames(of_frames * shares)) / 2
    return scores


def _split_weights(tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Split (N, L, D) into weights (N, L), directions, and a bias of -inf for padding (N, L)."""
    tokens = tokens.masked_fill(~mask[..., None], 0.0)
    lengths = torch.linalg.vector_norm(tokens, dim=-1)
    weights = lengths / lengths.sum(dim=-1, keepdim=True)
    bias = weights.new_zeros(mask.shape).masked_fill_(~mask, -math.inf)
    return weights, F.normalize(tokens, dim=-1), bias


def _chunk_sizes(
    texts: Tensor, videos: Tensor, per_pair: int, max_elements: int | None
) -> tuple[int, int]:
    """Numbers of texts and videos whose cosines, ``per_pair`` each, are computed at a time."""
    if max_elements is None:
        max_elements = CHUNK_ELEMENTS_CPU if texts.device.type == 'cpu' else CHUNK_ELEMENTS_GPU
    pairs = max(1, max_elements // per_pair)
    columns = max(math.isqrt(pairs), pairs // max(1, len(texts)))
    return max(1, pairs // min(columns, max(1, len(videos)))), columns


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
    """Sum (n, T, b) over T, or words in its place, in the same order for all videos.

    ``Tensor.sum`` and ``softmax`` have another order for the last columns of a matrix: two equal
    videos would not tie.
    """
    return reduce(torch.add, x.unbind(dim=1))
