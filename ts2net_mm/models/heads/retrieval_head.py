"""Retrieval head: temporal module, similarity and loss."""

import math

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..layers.transformer import at_least_fp32

__all__ = ['RetrievalHead']


@MODELS.register_module()
class RetrievalHead(BaseModule):
    """Compute frame features from the selected tokens, and compare them with sentences.

    Args:
        temporal: Config of the temporal module; None uses each frame's [CLS] unchanged.
        similarity: Config of the similarity; frame-weighted by default.
        token_weights: Config of the weights of words and frames, which similarities of words need.
        loss: Config of the loss; the symmetric contrastive one by default.
        logit_scale: Initial factor on the cosines, of which the logarithm is learned; 1 / 0.07 in
            CLIP.
        init_cfg: MMEngine's initialisation settings.

    Raises:
        ValueError: If ``logit_scale`` is not positive, a similarity of words lacks
            ``token_weights``, or another one has them.
    """

    def __init__(
        self,
        *,
        temporal: dict | None = None,
        similarity: dict | None = None,
        token_weights: dict | None = None,
        loss: dict | None = None,
        logit_scale: float = 1 / 0.07,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if logit_scale <= 0:
            raise ValueError(f'logit_scale={logit_scale} must be positive')
        self.similarity_cfg = dict(similarity or dict(type='mmaction.FrameWeightedSimilarity'))
        self.temporal = MODELS.build(temporal) if temporal else None
        self.cosine_similarity = MODELS.build(self.similarity_cfg)
        self.token_weights = MODELS.build(token_weights) if token_weights else None
        if self.compares_words != (self.token_weights is not None):
            name = type(self.cosine_similarity).__name__
            what = 'compares words and needs' if self.compares_words else 'does not use'
            raise ValueError(f"{name} {what} token_weights, such as dict(type='TokenWeights')")
        self.loss_module = MODELS.build(loss or dict(type='mmaction.SymmetricContrastiveLoss'))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(logit_scale)))

    @property
    def compares_words(self) -> bool:
        """Whether the similarity compares words, (N, L, D), and not sentences, (N, D)."""
        return getattr(self.cosine_similarity, 'compares_words', False)

    def forward(self, tokens: Tensor, frame_mask: Tensor) -> Tensor:
        """Compute frame features: (B, T, 1 + K, D), (B, T) bool -> (B, T, D)."""
        frames = tokens[:, :, 0] if self.temporal is None else self.temporal(tokens, frame_mask)
        if self.token_weights is None:
            return frames
        return self.token_weights.weigh_frames(frames, frame_mask)

    def text_features(self, text: Tensor) -> Tensor:
        """Compute what is compared from the output of the text encoder, of the same shape."""
        return text if self.token_weights is None else self.token_weights.weigh_words(text)

    def similarity(self, text: Tensor, video: Tensor, frame_mask: Tensor) -> Tensor:
        """Compute logits in fp32, scale included.

        Shape:
            - text: (N, D), or (N, L, D) of words, video: (B, T, D), frame_mask: (B, T) bool
              -> (N, B)
        """
        # half precision is too coarse for logits of up to 100
        with torch.autocast(text.device.type, enabled=False):
            text, video = at_least_fp32(text), at_least_fp32(video)
            return self.logit_scale.exp() * self.cosine_similarity(text, video, frame_mask)

    def loss(self, text: Tensor, video: Tensor, frame_mask: Tensor) -> dict[str, Tensor]:
        """Compute the losses of a batch with one sentence per video."""
        # fp32, because processes exchange features and gradients in this precision
        return self.loss_module(
            self.similarity, at_least_fp32(text), at_least_fp32(video), frame_mask
        )
