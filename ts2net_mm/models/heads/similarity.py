"""Registered similarities between sentences and videos."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from ..layers.similarity import (
    best_frame_similarity,
    frame_weighted_similarity,
    frame_weights,
    mean_pooled_similarity,
    token_interaction,
)
from ..layers.transformer import MaskOrder, check_mask_order

__all__ = [
    'AverageSimilarity',
    'BestFrameSimilarity',
    'FrameWeightedSimilarity',
    'MeanPooledSimilarity',
    'TokenInteraction',
]


@MODELS.register_module()
class FrameWeightedSimilarity(nn.Module):
    """Cosine of sentence and frames, weighted by how well each frame fits the sentence.

    Args:
        temperature: Sharpness of the frame weights; 4 in the released model.
        mask_order: 'frame' weights the valid frames; 'tiled' uses for frame i the mask of frame
            ``tokens_per_frame * i`` modulo T, as the released code does, which is correct only if
            all frames are valid.
        tokens_per_frame: For 'tiled': tokens per frame after the selection, [CLS] included.

    Raises:
        ValueError: If ``mask_order`` is unknown.

    Shape:
        - text: (N, D), video: (B, T, D), frame_mask: (B, T) bool -> (N, B), between -1 and 1

    Example:
        >>> import torch, ts2net_mm
        >>> from ts2net_mm.models import FrameWeightedSimilarity
        >>> mask = torch.ones(5, 4, dtype=torch.bool)
        >>> FrameWeightedSimilarity()(torch.rand(3, 8), torch.rand(5, 4, 8), mask).shape
        torch.Size([3, 5])
    """

    def __init__(
        self,
        *,
        temperature: float = 4.0,
        mask_order: MaskOrder = 'frame',
        tokens_per_frame: int = 4,
    ) -> None:
        super().__init__()
        check_mask_order(mask_order)
        self.temperature = temperature
        self.mask_order = mask_order
        self.tokens_per_frame = tokens_per_frame

    @property
    def index_score(self) -> dict[str, Any] | None:
        """The score of an index that computes the same, with certified bounds; None without them.

        'tiled' masks of short videos count frames that are padding, which an index lacks.
        """
        if self.mask_order == 'tiled' or self.temperature < 0:
            return None
        return dict(type='frame_weighted', temperature=self.temperature)

    def forward(self, text: Tensor, video: Tensor, frame_mask: Tensor) -> Tensor:
        """Compare every sentence with every video."""
        mask = self._weighted_frames(frame_mask)
        return frame_weighted_similarity(text, video, mask, temperature=self.temperature)

    def frame_weights(self, text: Tensor, video: Tensor, frame_mask: Tensor) -> Tensor:
        """Compute the weight of each frame for each sentence: (N, B, T), which sums to 1."""
        mask = self._weighted_frames(frame_mask)
        return frame_weights(text, video, mask, temperature=self.temperature)

    def _weighted_frames(self, frame_mask: Tensor) -> Tensor:
        if self.mask_order == 'frame':
            return frame_mask
        num_frames = frame_mask.shape[1]
        frames = torch.arange(num_frames, device=frame_mask.device)
        return frame_mask[:, self.tokens_per_frame * frames % num_frames]


@MODELS.register_module()
class MeanPooledSimilarity(nn.Module):
    """Cosine of the sentence and the mean of the normalised frames (CLIP4Clip's mean pooling).

    Shape:
        - text: (N, D), video: (B, T, D), frame_mask: (B, T) bool -> (N, B), between -1 and 1
    """

    index_score: ClassVar[dict[str, Any]] = dict(type='mean_pooled')  # of an index

    def forward(self, text: Tensor, video: Tensor, frame_mask: Tensor) -> Tensor:
        """Compare every sentence with every video."""
        return mean_pooled_similarity(text, video, frame_mask)

    def frame_weights(self, text: Tensor, video: Tensor, frame_mask: Tensor) -> Tensor:
        """Return the weight of each frame: (N, B, T), the same for all frames of a video."""
        weights = frame_mask.to(video.dtype) / frame_mask.sum(dim=1, keepdim=True)
        return weights.expand(len(text), -1, -1)


@MODELS.register_module()
class BestFrameSimilarity(nn.Module):
    """Cosine of the sentence and the frame that fits it best.

    Shape:
        - text: (N, D), video: (B, T, D), frame_mask: (B, T) bool -> (N, B), between -1 and 1
    """

    index_score: ClassVar[dict[str, Any]] = dict(type='best_frame')  # of an index

    def forward(self, text: Tensor, video: Tensor, frame_mask: Tensor) -> Tensor:
        """Compare every sentence with every video."""
        return best_frame_similarity(text, video, frame_mask)


@MODELS.register_module()
class AverageSimilarity(nn.Module):
    """Mean of several similarities, such as the frame-weighted and the mean-pooled.

    The released code contains this mean of the two, switched off.

    Args:
        similarities: Configs of the similarities.

    Raises:
        ValueError: If there is none, or some compare sentences and some words.

    Shape:
        - text: (N, D), video: (B, T, D), frame_mask: (B, T) bool -> (N, B), between -1 and 1

    Example:
        >>> import torch, ts2net_mm
        >>> from ts2net_mm.models import AverageSimilarity
        >>> names = 'FrameWeightedSimilarity', 'MeanPooledSimilarity'
        >>> average = AverageSimilarity(similarities=[dict(type=name) for name in names])
        >>> mask = torch.ones(5, 4, dtype=torch.bool)
        >>> average(torch.rand(3, 8), torch.rand(5, 4, 8), mask).shape
        torch.Size([3, 5])
    """

    def __init__(self, *, similarities: Sequence[dict]) -> None:
        super().__init__()
        if not similarities:
            raise ValueError('similarities is empty, expected at least one config')
        self.similarities = nn.ModuleList(MODELS.build(config) for config in similarities)
        kinds = {getattr(part, 'compares_words', False) for part in self.similarities}
        if len(kinds) > 1:
            names = [type(part).__name__ for part in self.similarities]
            raise ValueError(f'of {names} some compare sentences and some words: no text is both')
        (self.compares_words,) = kinds

    @property
    def index_score(self) -> dict[str, Any] | None:
        """The score of an index that computes the same, None if a similarity has none."""
        scores = [getattr(part, 'index_score', None) for part in self.similarities]
        return None if None in scores else dict(type='average', scores=scores)

    def forward(self, text: Tensor, video: Tensor, frame_mask: Tensor) -> Tensor:
        """Compare every sentence with every video."""
        scores = [part(text, video, frame_mask) for part in self.similarities]
        return torch.stack(scores).mean(dim=0)


@MODELS.register_module()
class TokenInteraction(nn.Module):
    """Weighted token-wise interaction of words and frames (DRL, Wang et al. 2022, 2203.07111).

    Each word takes the cosine of its best frame and each frame that of its best word. The lengths
    of the features are their weights, which `TokenWeights` in the head computes. The text encoder
    needs ``output='words'``.

    Shape:
        - text: (N, L, D), video: (B, T, D), frame_mask: (B, T) bool -> (N, B), between -1 and 1
    """

    compares_words = True

    def forward(self, text: Tensor, video: Tensor, frame_mask: Tensor) -> Tensor:
        """Compare every sentence with every video."""
        return token_interaction(text, video, frame_mask)
