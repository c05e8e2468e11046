"""Weights of words and frames that depend on the words or frames alone."""

import math

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..layers.transformer import at_least_fp32

__all__ = ['TokenWeights']

# of a word or frame, so that its direction can be told from its feature
LEAST = 1e-9


@MODELS.register_module()
class TokenWeights(BaseModule):
    """Weigh the words of a sentence and the frames of a video (DRL, Wang et al. 2022, 2203.07111).

    A small MLP scores each word, another each frame, and the weights are the softmax of the scores.
    The length of a feature becomes its weight and its direction stays, so that whoever compares
    features needs no more than them; see `TokenInteraction`.

    Args:
        embed_dims: Size of a feature.
        num_layers: Linear layers of each MLP, with ReLU between them; 0 gives all words, and all
            frames, the same weight.
        init_cfg: MMEngine's initialisation settings.

    Raises:
        ValueError: If ``num_layers`` is negative.

    Example:
        >>> import torch, ts2net_mm
        >>> from ts2net_mm.models import TokenWeights
        >>> words = TokenWeights(embed_dims=8).weigh_words(torch.rand(2, 5, 8))
        >>> words.norm(dim=-1).sum(dim=-1).round(decimals=4)
        tensor([1., 1.], grad_fn=<RoundBackward1>)
    """

    def __init__(
        self, *, embed_dims: int = 512, num_layers: int = 2, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        if num_layers < 0:
            raise ValueError(f'num_layers={num_layers} must be at least 0')
        self.words = _build_mlp(embed_dims, num_layers)
        self.frames = _build_mlp(embed_dims, num_layers)

    def weigh_words(self, words: Tensor) -> Tensor:
        """Scale the words of sentences, of which 0 is padding: (N, L, D) -> (N, L, D)."""
        return _weigh(words, (words != 0).any(dim=-1), self.words)

    def weigh_frames(self, frames: Tensor, frame_mask: Tensor) -> Tensor:
        """Scale the frames of each video: (B, T, D), (B, T) bool -> (B, T, D)."""
        return _weigh(frames, frame_mask, self.frames)


def _build_mlp(dims: int, num_layers: int) -> nn.Sequential | None:
    if not num_layers:
        return None
    hidden = [part for _ in range(num_layers - 1) for part in (nn.Linear(dims, dims), nn.ReLU())]
    # the softmax would cancel a bias
    return nn.Sequential(*hidden, nn.Linear(dims, 1, bias=False))


def _weigh(tokens: Tensor, mask: Tensor, mlp: nn.Sequential | None) -> Tensor:
    # half precision is too coarse for small weights
    with torch.autocast(tokens.device.type, enabled=False):
        tokens = at_least_fp32(tokens)
        scores = tokens.new_zeros(mask.shape) if mlp is None else mlp(tokens).squeeze(-1)
        weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1).clamp_min(LEAST)
        directions = F.normalize(tokens, dim=-1).masked_fill(~mask[..., None], 0.0)
        return weights[..., None] * directions
