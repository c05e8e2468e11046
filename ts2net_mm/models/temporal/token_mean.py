"""No exchange between frames: the mean over the kept tokens of each."""

from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

__all__ = ['TokenMean']


@MODELS.register_module()
class TokenMean(BaseModule):
    """Average the kept tokens of each frame; frames see nothing of each other.

    Shape:
        - tokens: (B, T, 1 + K, D), frame_mask: (B, T) bool -> (B, T, D)

    Example:
        >>> import torch, ts2net_mm
        >>> from ts2net_mm.models import TokenMean
        >>> TokenMean()(torch.rand(2, 6, 4, 16), torch.ones(2, 6, dtype=torch.bool)).shape
        torch.Size([2, 6, 16])
    """

    def forward(self, tokens: Tensor, frame_mask: Tensor) -> Tensor:
        """Average within each frame."""
        return tokens.mean(dim=2)
