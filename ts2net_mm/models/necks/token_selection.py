"""Token selection: [CLS] and the K most informative patches of each frame."""

from typing import Any, Literal, get_args

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from ..layers import perturbed_topk as topk_ops
from ..layers.similarity import masked_mean
from .patch_selection import PatchSelection

__all__ = ['TokenSelection']

TrainMode = Literal['perturbed', 'straight_through']
TestMode = Literal['fixed_noise', 'hard', 'fresh_noise']
Context = Literal['frame', 'video', 'none']
Candidates = Literal['patches', 'all']


@MODELS.register_module()
class TokenSelection(PatchSelection):
    """Keep [CLS] and the K best-scored patches of each frame, by a perturbed top-K.

    The score of a patch depends on the patch and the frame's [CLS]. In training the selection is
    the mean over ``num_samples`` noisy top-Ks, so that gradients reach the scores. The module runs
    in fp32, also inside autocast. With the defaults it trains as in the released model.

    Args:
        embed_dims: Size of a token.
        topk: Number of patches to keep per frame; 3 in the released model.
        num_samples: Number of noise samples.
        sigma: Standard deviation of the noise on the scores.
        test_mode: The selection outside training. 'fixed_noise': the same noise for every frame and
            every call, so that the feature of a video depends on the video alone; 'hard': top-K
            without noise; 'fresh_noise': as in training, and as in the released code.
        train_mode: The selection in training. 'perturbed': as above; 'straight_through': top-K
            without noise, whose weights pass their gradient to the scores unchanged (Bengio et al.
            2013, arXiv 1308.3432).
        gradient: What the perturbed selection passes to the scores. 'diagonal': how the weight of
            a patch changes with its own score, as the released code; all scores of a frame may then
            drift together to an end of tanh. 'full': how all weights change with all scores; see
            `perturbed_topk`.
        context: What the score depends on beside the patch. 'frame': the frame's [CLS]; 'video':
            the mean [CLS] of the valid frames; 'none': nothing.
        candidates: 'patches': [CLS] is kept besides the K best patches; 'all': [CLS] is scored too,
            and the K best tokens are kept, the first of them in the place of [CLS].
        noise_seed: Seed of the fixed noise.
        init_cfg: MMEngine's initialisation settings.

    Shape:
        - tokens: (B, T, 1 + P, D), [CLS] first -> (B, T, 1 + topk, D), [CLS] first
        - with all tokens as candidates -> (B, T, topk, D)

    Raises:
        ValueError: If ``topk`` exceeds the candidates of a frame, a number is not positive or a
            mode is unknown.

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
        train_mode: TrainMode = 'perturbed',
        gradient: topk_ops.Gradient = 'diagonal',
        test_mode: TestMode = 'fixed_noise',
        context: Context = 'frame',
        candidates: Candidates = 'patches',
        noise_seed: int = 0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(topk=topk, noise_seed=noise_seed, init_cfg=init_cfg)
        _check_choice('train_mode', train_mode, TrainMode)
        _check_choice('gradient', gradient, topk_ops.Gradient)
        _check_choice('test_mode', test_mode, TestMode)
        _check_choice('context', context, Context)
        _check_choice('candidates', candidates, Candidates)
        for name, value in dict(num_samples=num_samples, sigma=sigma).items():
            if value <= 0:
                raise ValueError(f'{name}={value} must be positive')
        self.num_samples = num_samples
        self.sigma = sigma
        if gradient == 'full' and num_samples < 2:
            raise ValueError(f'num_samples={num_samples}: the full gradient needs at least 2')
        self.train_mode = train_mode
        self.gradient = gradient
        self.test_mode = test_mode
        self.context = context
        self.first_candidate = 0 if candidates == 'all' else 1
        hidden = embed_dims // 2
        self.token_mlp = nn.Sequential(
            nn.LayerNorm(embed_dims), nn.Linear(embed_dims, hidden, bias=False), nn.GELU()
        )
        self.score_mlp = nn.Sequential(
            nn.Linear(hidden if context == 'none' else 2 * hidden, hidden, bias=False),
            nn.GELU(),
            nn.Linear(hidden, 1, bias=False),
            nn.Tanh(),
        )

    def candidate_weights(
        self, tokens: Tensor, frame_mask: Tensor | None, attention: Tensor | None
    ) -> Tensor:
        """Score the candidates, and choose the best."""
        scores = self.token_scores(tokens, frame_mask)[..., self.first_candidate :]
        return self._choose(scores.flatten(0, 1)).unflatten(0, scores.shape[:2])

    def patch_scores(
        self, tokens: Tensor, frame_mask: Tensor | None = None, attention: Tensor | None = None
    ) -> Tensor:
        """Score the patches: (B, T, 1 + P, D) -> (B, T, P), between -1 and 1."""
        return self.token_scores(tokens, frame_mask)[..., 1:]

    def token_scores(self, tokens: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        """Score every token, given the context.

        Shape:
            - tokens: (B, T, 1 + P, D), frame_mask: (B, T) bool -> (B, T, 1 + P), between -1 and 1
        """
        local = self.token_mlp(tokens)
        if self.context == 'none':
            return self.score_mlp(local).squeeze(-1)
        if self.context == 'frame':
            context = local[..., :1, :]
        else:
            context = self.token_mlp(_video_cls(tokens[:, :, 0], frame_mask))[:, None, None]
        return self.score_mlp(torch.cat((local, context.expand_as(local)), dim=-1)).squeeze(-1)

    def _choose(self, scores: Tensor) -> Tensor:
        """Convert scores to weights over the candidates: (N, P) -> (N, K, P)."""
        if self.training and self.train_mode == 'straight_through':
            chosen = topk_ops.hard_topk_weights(scores, self.topk)
            return chosen + (scores - scores.detach())[:, None]  # adds 0 and a gradient
        if not self.training and self.test_mode == 'hard':
            return topk_ops.hard_topk_weights(scores, self.topk)
        fresh = self.training or self.test_mode == 'fresh_noise'
        noise = self._fresh_noise(scores) if fresh else self._fixed_noise(scores, self.num_samples)
        return topk_ops.perturbed_topk(scores, noise, self.topk, self.sigma, gradient=self.gradient)

    def _fresh_noise(self, scores: Tensor) -> Tensor:
        num_rows, num_patches = scores.shape
        return topk_ops.draw_noise(
            (num_rows, self.num_samples, num_patches), device=scores.device, dtype=scores.dtype
        )


def _check_choice(name: str, value: str, choices: Any) -> None:
    if value not in get_args(choices):
        raise ValueError(f'{name}={value!r} is unknown, choose one of {get_args(choices)}')


def _video_cls(cls: Tensor, frame_mask: Tensor | None) -> Tensor:
    """The mean [CLS] of the valid frames: (B, T, D) -> (B, D)."""
    return cls.mean(dim=1) if frame_mask is None else masked_mean(cls, frame_mask)
