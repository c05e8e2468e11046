"""Registered similarities between sentences and videos."""

from mmaction.registry import MODELS
from torch import Tensor, nn

from ..layers.similarity import frame_weighted_similarity, mean_pooled_similarity

__all__ = ['FrameWeightedSimilarity', 'MeanPooledSimilarity']


@MODELS.register_module()
class FrameWeightedSimilarity(nn.Module):
    """Cosine of sentence and frames, weighted by how well each frame fits the sentence.

    Args:
        temperature: Sharpness of the frame weights; 4 in the released model.

    Shape:
        - text: (N, D), video: (B, T, D), frame_mask: (B, T) bool -> (N, B), between -1 and 1

    Example:
        >>> import torch, ts2net_mm
        >>> from ts2net_mm.models import FrameWeightedSimilarity
        >>> mask = torch.ones(5, 4, dtype=torch.bool)
        >>> FrameWeightedSimilarity()(torch.rand(3, 8), torch.rand(5, 4, 8), mask).shape
        torch.Size([3, 5])
    """

    def __init__(self, *, temperature: float = 4.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, text: Tensor, video: Tensor, frame_mask: Tensor) -> Tensor:
        """Compare every sentence with every video."""
        return frame_weighted_similarity(text, video, frame_mask, temperature=self.temperature)


@MODELS.register_module()
class MeanPooledSimilarity(nn.Module):
    """Cosine of the sentence and the mean of the normalised frames (CLIP4Clip's mean pooling).

    Shape:
        - text: (N, D), video: (B, T, D), frame_mask: (B, T) bool -> (N, B), between -1 and 1
    """

    def forward(self, text: Tensor, video: Tensor, frame_mask: Tensor) -> Tensor:
        """Compare every sentence with every video."""
        return mean_pooled_similarity(text, video, frame_mask)
