"""What the selections of patches share: [CLS] is kept, and patches are weighted into K tokens."""

from abc import abstractmethod

import torch
from mmengine.model import BaseModule
from torch import Tensor

from ..layers import perturbed_topk as topk_ops
from ..layers.transformer import at_least_fp32

__all__ = ['PatchSelection']


class PatchSelection(BaseModule):
    """Keep [CLS] and some weighted sums of the patches of each frame, in fp32.

    A subclass says by ``candidate_weights`` how much of each candidate is in each kept token.

    Args:
        topk: Number of tokens that are kept of the candidates.
        noise_seed: Seed of the fixed noise.
        init_cfg: MMEngine's initialisation settings.

    Shape:
        - tokens: (B, T, 1 + P, D), [CLS] first, frame_mask: (B, T) bool, attention: (B, T, P)
          -> (B, T, 1 + topk, D), [CLS] first

    Raises:
        ValueError: If ``topk`` is not positive.
    """

    first_candidate = 1  # the patches; 0 if [CLS] is a candidate too
    needs_attention = False  # of the last block, from the backbone

    def __init__(self, *, topk: int, noise_seed: int = 0, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if topk <= 0:
            raise ValueError(f'topk={topk} must be positive')
        self.topk = topk
        self.noise_seed = noise_seed
        # no buffer: it must not be rounded with the weights, nor averaged or sent with buffers
        self._kept_noise: tuple[tuple, Tensor] | None = None

    @property
    def num_tokens(self) -> int:
        """Number of output tokens per frame: [CLS] and the selected patches."""
        return self.first_candidate + self.topk

    def forward(
        self, tokens: Tensor, frame_mask: Tensor | None = None, attention: Tensor | None = None
    ) -> Tensor:
        """Select the tokens of each frame."""
        # half precision would change the order of close scores
        with torch.autocast(tokens.device.type, enabled=False):
            tokens = at_least_fp32(tokens)
            kept, candidates = tokens.tensor_split((self.first_candidate,), dim=2)
            selected = self.candidate_weights(tokens, frame_mask, attention) @ candidates
        return torch.cat((kept, selected), dim=2)

    @abstractmethod
    def candidate_weights(
        self, tokens: Tensor, frame_mask: Tensor | None, attention: Tensor | None
    ) -> Tensor:
        """Compute how much of each candidate is in each selected token.

        Shape:
            - tokens: (B, T, 1 + P, D) -> (B, T, topk, P); 1 + P if [CLS] is a candidate
        """

    def patch_weights(
        self, tokens: Tensor, frame_mask: Tensor | None = None, attention: Tensor | None = None
    ) -> Tensor:
        """Compute how much of each patch is in each selected token.

        Shape:
            - tokens: (B, T, 1 + P, D) -> (B, T, topk, P)
        """
        weights = self.candidate_weights(tokens, frame_mask, attention)
        return weights[..., 1 - self.first_candidate :]

    def _fixed_noise(self, scores: Tensor, num_samples: int) -> Tensor:
        """The same noise for all rows and calls: (N, P) -> (1, num_samples, P)."""
        num_patches = int(scores.shape[1])  # torch.jit.trace has a tensor there
        wanted = (num_samples, num_patches, self.noise_seed, scores.dtype)
        kept, noise = self._kept_noise or (None, None)
        if noise is None or kept != wanted:
            noise = topk_ops.fixed_noise(*wanted)
        if noise.device != scores.device:
            noise = noise.to(scores.device)
        if not torch.compiler.is_compiling():  # what is recorded has it as a constant
            self._kept_noise = wanted, noise
        return noise
