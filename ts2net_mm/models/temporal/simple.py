"""Simpler temporal modules for ablations: an LSTM, and a mean without exchange between frames."""

from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

__all__ = ['TemporalLSTM', 'TokenMean']


@MODELS.register_module()
class TemporalLSTM(BaseModule):
    """Unidirectional LSTM over the tokens of all frames in order (CLIP4Clip's seqLSTM).

    The input is added to the output, and the result is each frame's [CLS] position. A frame sees
    only earlier frames, so padding at the end of a video does not change it.

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
        """Run the LSTM."""
        x = tokens.flatten(1, 2)  # (B, T, 1 + K, D) -> (B, T * (1 + K), D)
        out, _ = self.lstm(x)
        return (x + out).view_as(tokens)[:, :, 0]


@MODELS.register_module()
class TokenMean(BaseModule):
    """Average the tokens of each frame, without exchange between frames.

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
