"""Selections that learn nothing: [CLS] alone, the mean of the patches, and K patches by a rule."""

from typing import Literal, get_args

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from ..layers.perturbed_topk import draw_noise, hard_topk_weights
from .patch_selection import PatchSelection

__all__ = ['CLSOnly', 'FixedSelection', 'PatchMean']

Rule = Literal['random', 'first', 'attention']


@MODELS.register_module()
class CLSOnly(BaseModule):
    """Keep only the [CLS] of each frame, as CLIP4Clip does.

    Shape:
        - tokens: (B, T, 1 + P, D), [CLS] first -> (B, T, 1, D)

    Example:
        >>> import torch, ts2net_mm
        >>> from ts2net_mm.models import CLSOnly
        >>> CLSOnly()(torch.rand(2, 4, 50, 16)).shape
        torch.Size([2, 4, 1, 16])
    """

    num_tokens = 1
    needs_attention = False

    def forward(
        self, tokens: Tensor, frame_mask: Tensor | None = None, attention: Tensor | None = None
    ) -> Tensor:
        """Return the first token of each frame."""
        return tokens[:, :, :1]


@MODELS.register_module()
class PatchMean(PatchSelection):
    """Keep [CLS] and the mean of all patches of each frame.

    Shape:
        - tokens: (B, T, 1 + P, D), [CLS] first -> (B, T, 2, D), [CLS] first

    Example:
        >>> import torch, ts2net_mm
        >>> from ts2net_mm.models import PatchMean
        >>> PatchMean()(torch.rand(2, 4, 50, 16)).shape
        torch.Size([2, 4, 2, 16])
    """

    def __init__(self, *, init_cfg: dict | None = None) -> None:
        super().__init__(topk=1, init_cfg=init_cfg)

    def candidate_weights(
        self, tokens: Tensor, frame_mask: Tensor | None, attention: Tensor | None
    ) -> Tensor:
        """Give each patch the same weight."""
        num_patches = tokens.shape[2] - 1
        return tokens.new_full((*tokens.shape[:2], 1, num_patches), 1 / num_patches)


@MODELS.register_module()
class FixedSelection(PatchSelection):
    """Keep [CLS] and K patches of each frame, chosen by a rule.

    Args:
        rule: 'random': in training other patches for each frame and step, outside training those
            of ``noise_seed`` for all frames; 'first': the first K; 'attention': the K to which
            [CLS] attends most in the last block, which the backbone has to give.
        topk: Number of patches to keep per frame.
        noise_seed: Seed of the patches at random outside training.
        init_cfg: MMEngine's initialisation settings.

    Shape:
        - tokens: (B, T, 1 + P, D), [CLS] first, attention: (B, T, P) -> (B, T, 1 + topk, D)

    Raises:
        ValueError: If ``topk`` exceeds the patches of a frame or is not positive, ``rule`` is
            unknown, or the attention that it needs is missing.

    Example:
        >>> import torch, ts2net_mm
        >>> from ts2net_mm.models import FixedSelection
        >>> FixedSelection(rule='first')(torch.rand(2, 4, 50, 16)).shape
        torch.Size([2, 4, 4, 16])
    """

    def __init__(
        self,
        *,
        rule: Rule = 'random',
        topk: int = 3,
        noise_seed: int = 0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(topk=topk, noise_seed=noise_seed, init_cfg=init_cfg)
        if rule not in get_args(Rule):
            raise ValueError(f'rule={rule!r} is unknown, choose one of {get_args(Rule)}')
        self.rule = rule
        self.needs_attention = rule == 'attention'

    def candidate_weights(
        self, tokens: Tensor, frame_mask: Tensor | None, attention: Tensor | None
    ) -> Tensor:
        """Give the chosen patches the weight 1."""
        scores = self.patch_scores(tokens, frame_mask, attention)
        weights = hard_topk_weights(scores.flatten(0, 1), self.topk)
        return weights.unflatten(0, scores.shape[:2]).to(tokens.dtype)

    def patch_scores(
        self, tokens: Tensor, frame_mask: Tensor | None = None, attention: Tensor | None = None
    ) -> Tensor:
        """Score the patches; the best are chosen.

        Shape:
            - tokens: (B, T, 1 + P, D), attention: (B, T, P) -> (B, T, P)
        """
        if self.rule == 'attention':
            if attention is None:
                raise ValueError("rule='attention' needs the attention of [CLS] in the last block")
            return attention
        scores = tokens[:, :, 1:, 0]
        if self.rule == 'first':
            return -torch.arange(scores.shape[2], device=scores.device).expand_as(scores)
        if self.training:
            return draw_noise(scores.shape, device=scores.device, dtype=scores.dtype)
        return self._fixed_noise(scores[:, 0], 1).expand_as(scores)
