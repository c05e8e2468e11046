"""Token selection: [CLS] and the K most informative patches of each frame, or [CLS] alone."""

from typing import Literal, get_args

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..layers import perturbed_topk as topk_ops
from ..layers.transformer import at_least_fp32

__all__ = ['CLSOnly', 'TokenSelection']

TestMode = Literal['fixed_noise', 'hard', 'fresh_noise']


@MODELS.register_module()
class TokenSelection(BaseModule):
    """Keep [CLS] and the K best-scored patches of each frame, by a perturbed top-K.

    The score of a patch depends on the patch and the frame's [CLS]. In training the selection is
    the mean over ``num_samples`` noisy top-Ks, so that gradients reach the scores. The module runs
    in fp32, also inside autocast.

    Args:
        embed_dims: Size of a token.
        topk: Number of patches to keep per frame; 3 in the released model.
        num_samples: Number of noise samples.
        sigma: Standard deviation of the noise on the scores.
        test_mode: The selection outside training. 'fixed_noise': the same noise for every frame and
            every call, so that the feature of a video depends on the video alone; 'hard': top-K
            without noise; 'fresh_noise': as in training, and as in the released code.
        noise_seed: Seed of the fixed noise.
        init_cfg: MMEngine's initialisation settings.

    Shape:
        - tokens: (B, T, 1 + P, D), [CLS] first -> (B, T, 1 + topk, D), [CLS] first

    Raises:
        ValueError: If ``topk`` exceeds the patches of a frame, a number is not positive or
            ``test_mode`` is unknown.

    Example:
        >>> import torch, ts2net_mm
        >>> from ts2net_mm.models import TokenSelection
        >>> TokenSelection(embed_dims=16, topk=3)(torch.rand(2, 4, 50, 16)).shape
        torch.Size([2, 4, 4, 16])
    """

    def __init__(
        self,
        *,
        embed_dims: int = 512,
        topk: int = 3,
        num_samples: int = 500,
        sigma: float = 0.05,
        test_mode: TestMode = 'fixed_noise',
        noise_seed: int = 0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if test_mode not in get_args(TestMode):
            raise ValueError(
                f'test_mode={test_mode!r} is unknown, choose one of {get_args(TestMode)}'
            )
        for name, value in dict(topk=topk, num_samples=num_samples, sigma=sigma).items():
            if value <= 0:
                raise ValueError(f'{name}={value} must be positive')
        self.topk = topk
        self.num_samples = num_samples
        self.sigma = sigma
        self.test_mode = test_mode
        self.noise_seed = noise_seed
        # no buffer: it must not be rounded with the weights, nor averaged or sent with buffers
        self._kept_noise: tuple[tuple, Tensor] | None = None
        hidden = embed_dims // 2
        self.token_mlp = nn.Sequential(
            nn.LayerNorm(embed_dims), nn.Linear(embed_dims, hidden, bias=False), nn.GELU()
        )
        self.score_mlp = nn.Sequential(
            nn.Linear(2 * hidden, hidden, bias=False),
            nn.GELU(),
            nn.Linear(hidden, 1, bias=False),
            nn.Tanh(),
        )

    @property
    def num_tokens(self) -> int:
        """Number of output tokens per frame: [CLS] and the selected patches."""
        return 1 + self.topk

    def forward(self, tokens: Tensor) -> Tensor:
        """Select the tokens of each frame."""
        # half precision would change the order of close scores
        with torch.autocast(tokens.device.type, enabled=False):
            tokens = at_least_fp32(tokens)
            scores = self.token_scores(tokens)[..., 1:]  # [CLS] is always kept
            patches = tokens[:, :, 1:]
            chosen = self._choose(scores.flatten(0, 1)).unflatten(0, scores.shape[:2])
            selected = chosen @ patches
        return torch.cat((tokens[:, :, :1], selected), dim=2)

    def token_scores(self, tokens: Tensor) -> Tensor:
        """Score every token, given its frame's [CLS].

        Shape:
            - tokens: (B, T, 1 + P, D) -> (B, T, 1 + P), between -1 and 1
        """
        local = self.token_mlp(tokens)
        frame = local[..., :1, :].expand_as(local)
        return self.score_mlp(torch.cat((local, frame), dim=-1)).squeeze(-1)

    def _choose(self, scores: Tensor) -> Tensor:
        """Convert scores to weights over the patches: (N, P) -> (N, K, P)."""
        if not self.training and self.test_mode == 'hard':
            chosen = topk_ops.hard_topk(scores, self.topk)
            return nn.functional.one_hot(chosen, scores.shape[1]).to(scores.dtype)
        fresh = self.training or self.test_mode == 'fresh_noise'
        noise = self._fresh_noise(scores) if fresh else self._fixed_noise(scores)
        return topk_ops.perturbed_topk(scores, noise, self.topk, self.sigma)

    def _fresh_noise(self, scores: Tensor) -> Tensor:
        num_rows, num_patches = scores.shape
        return topk_ops.draw_noise(
            (num_rows, self.num_samples, num_patches), device=scores.device, dtype=scores.dtype
        )

    def _fixed_noise(self, scores: Tensor) -> Tensor:
        num_patches = int(scores.shape[1])  # torch.jit.trace has a tensor there
        wanted = (self.num_samples, num_patches, self.noise_seed, scores.dtype)
        kept, noise = self._kept_noise or (None, None)
        if noise is None or kept != wanted:
            noise = topk_ops.fixed_noise(*wanted)
        if noise.device != scores.device:
            noise = noise.to(scores.device)
        if not torch.compiler.is_compiling():  # what is recorded has it as a constant
            self._kept_noise = wanted, noise
        return noise


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

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the first token of each frame."""
        return tokens[:, :, :1]
