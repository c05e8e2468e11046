"""Temporal LSTM over the kept tokens of all frames."""

from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

__all__ = ['TemporalLSTM']


@MODELS.register_module()
class TemporalLSTM(BaseModule):
    """One-directional LSTM over the tokens in the order of time (CLIP4Clip's seqLSTM).

    The input is added to the output, and each frame's [CLS] position is the result. A frame sees
    those before it only, so the padding at the end of a video changes none of its frames.

    Args:
        embed_dims: Size of a token and of the LSTM's state.
        num_layers: Number of LSTM layers; 1 in CLIP4Clip.
        init_cfg: MMEngine's initialisation settings.

    Shape:
        - tokens: (B, T, 1 + K, D), frame_mask: (B, T) bool -> (B, T, D)

    Example:
        >>> import torch, ts2net_mm
        >>> from ts2net_mm.models import TemporalLSTM
        >>> mask = torch.ones(2, 6, dtype=torch.bool)
        >>> TemporalLSTM(embed_dims=16)(torch.rand(2, 6, 1, 16), mask).shape
        torch.Size([2, 6, 16])
    """

    def __init__(
        self, *, embed_dims: int = 512, num_layers: int = 1, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        self.lstm = nn.LSTM(embed_dims, embed_dims, num_layers, batch_first=True)

    def forward(self, tokens: Tensor, frame_mask: Tensor) -> Tensor:
        """Run through the video."""
        x = tokens.flatten(1, 2)  # (B, T, 1 + K, D) -> (B, T * (1 + K), D)
        out, _ = self.lstm(x)
        return (x + out).view_as(tokens)[:, :, 0]
