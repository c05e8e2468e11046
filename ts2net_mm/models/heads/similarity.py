"""Registered similarities between sentences and videos."""

from typing import Any, ClassVar

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from ..layers.similarity import (
    frame_weighted_similarity,
    frame_weights,
    mean_pooled_similarity,
)
from ..layers.transformer import MaskOrder, check_mask_order

__all__ = ['FrameWeightedSimilarity', 'MeanPooledSimilarity']


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
