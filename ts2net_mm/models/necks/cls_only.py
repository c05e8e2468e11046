"""No selection: only the [CLS] token of each frame goes on."""

from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

__all__ = ['CLSOnly']


@MODELS.register_module()
class CLSOnly(BaseModule):
    """Keep the [CLS] of each frame and no patch, as CLIP4Clip does.

    Shape:
        - tokens: (B, T, 1 + P, D), [CLS] first -> (B, T, 1, D)

    Example:
        >>> import torch, ts2net_mm
        >>> from ts2net_mm.models import CLSOnly
        >>> CLSOnly()(torch.rand(2, 4, 50, 16)).shape
        torch.Size([2, 4, 1, 16])
    """

    num_tokens = 1

    def forward(self, tokens: Tensor) -> Tensor:
        """Take the first token of each frame."""
        return tokens[:, :, :1]
