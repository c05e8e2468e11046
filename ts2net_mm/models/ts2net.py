"""TS2-Net, the whole model (Liu et al., ECCV 2022, arXiv 2207.07852)."""

from typing import Any

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor

from ..utils.config_types import type_name
from .heads import MeanPooledSimilarity
from .layers.pretrained_last import PretrainedLast
from .layers.similarity import masked_mean
from .temporal import TemporalTransformer

__all__ = ['TS2Net']


@MODELS.register_module()
class TS2Net(PretrainedLast, BaseModel):
    """Text-video retrieval with token shift and token selection.

    Frames go through the token shift ViT, the token selection and the temporal transformer,
    sentences through CLIP's text encoder. The frame-weighted similarity compares both.

    Args:
        backbone: Config of the frame encoder.
        text_encoder: Config of the sentence encoder.
        neck: Config of the token selection; by default only [CLS] of each frame is kept. It gets
            the tokens, the frame mask and, if it needs it, the attention of the last block.
        head: Config of temporal module, similarity and loss.
        data_preprocessor: Config of the batch preparation.
        init_cfg: MMEngine's initialisation settings, such as ``CLIPPretrained``.

    Raises:
        ValueError: If the parts do not fit each other, such as a neck that needs the attention of
            the last block and a backbone that gives none.
    """

    def __init__(
        self,
        *,
        backbone: dict,
        text_encoder: dict,
        head: dict,
        neck: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        # built here, because MMEngine would search only its own registry; with the scope, which a
        # pure Python config may lack
        preprocessor = MODELS.build(
            data_preprocessor or dict(type='mmaction.TextVideoDataPreprocessor')
        )
        super().__init__(data_preprocessor=preprocessor, init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        self.text_encoder = MODELS.build(text_encoder)
        self.neck = MODELS.build(neck or dict(type='mmaction.CLSOnly'))
        self.head = MODELS.build(head)
        self._check_parts()
        temporal = self.head.temporal
        if isinstance(temporal, TemporalTransformer) and temporal.tokens_per_frame is None:
            temporal.tokens_per_frame = self.neck.num_tokens

    def _check_parts(self) -> None:
        if self.neck.needs_attention and not getattr(self.backbone, 'gives_attention', False):
            raise ValueError(
                f'{type(self.neck).__name__} needs the attention of the last block, which '
                f'{type(self.backbone).__name__} does not give'
            )
        if self.head.temporal is None and getattr(self.neck, 'num_tokens', 1) > 1:
            raise ValueError(
                f"head.temporal=None uses each frame's [CLS] alone, so {type(self.neck).__name__} "
                "would train nothing: use neck=dict(type='CLSOnly') or temporal="
                "dict(type='TokenMean')"
            )
        output = getattr(self.text_encoder, 'output', 'sentence')
        wanted = 'words' if self.head.compares_words else 'sentence'
        if output != wanted:
            name = type(self.head.cosine_similarity).__name__
            raise ValueError(f'{name} needs text_encoder=dict(output={wanted!r}), found {output!r}')

    def encode_text(self, text: Tensor) -> Tensor:
        """Encode sentences: (N, L) int64 -> (N, D), not normalised; words: (N, L, D)."""
        return self.head.text_features(self.text_encoder(text))

    def encode_video(self, imgs: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        """Encode videos: (B, T, 3, H, W) normalised, (B, T) bool -> (B, T, D), not normalised."""
        if imgs.ndim != 5:
            raise ValueError(f'imgs has shape {tuple(imgs.shape)}, expected (B, T, 3, H, W)')
        frame_mask = _bool_mask(imgs, frame_mask)
        if self.neck.needs_attention:
            tokens, attention = self.backbone(imgs, frame_mask, with_attention=True)
        else:
            tokens, attention = self.backbone(imgs, frame_mask), None
        selected = self.neck(tokens, frame_mask, attention)  # (B, T, 1 + P, D) -> (B, T, 1 + K, D)
        return self.head(selected, frame_mask)

    def similarity(
        self, text_feats: Tensor, video_feats: Tensor, frame_mask: Tensor | None = None
    ) -> Tensor:
        """Compute logits, scale included: (N, D) or (N, L, D), (B, T, D), (B, T) -> (N, B)."""
        return self.head.similarity(text_feats, video_feats, _bool_mask(video_feats, frame_mask))

    def extract_feat(self, inputs: Tensor | dict[str, Any]) -> Tensor | tuple[Tensor, Tensor]:
        """Compute features, under the name that MMAction2's models and tools use.

        Args:
            inputs: The inputs of ``forward``, or normalised frames (B, T, 3, H, W) alone.

        Returns:
            Features of videos (B, T, D) and texts (N, D), or of the videos alone.
        """
        if isinstance(inputs, Tensor):
            return self.encode_video(inputs)
        return self._encode(inputs)

    def forward(
        self,
        inputs: dict[str, Any],
        data_samples: list[ActionDataSample] | None = None,
        mode: str = 'tensor',
    ) -> dict[str, Tensor] | list[ActionDataSample] | tuple[Tensor, Tensor]:
        """Run one of MMEngine's modes.

        Args:
            inputs: ``imgs`` (B, T, 3, H, W), ``text`` (sum of captions, L), optionally
                ``frame_mask`` (B, T) and ``num_captions``, the number of captions of each video
                (1 by default).
            data_samples: A sample per video.
            mode: 'loss', 'predict' or 'tensor'.

        Returns:
            The losses, the samples with their features, or video and text features.

        Raises:
            ValueError: If the mode is unknown or the numbers of texts and videos do not match.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor':
            return self._encode(inputs)
        raise ValueError(f"mode={mode!r} is unknown, choose 'loss', 'predict' or 'tensor'")

    def loss(
        self, inputs: dict[str, Any], data_samples: list[ActionDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch with one text per video; their sum is the loss."""
        video, text = self._encode(inputs)
        return self.loss_from_features(text, video, inputs.get('frame_mask'))

    def loss_from_features(
        self, text_feats: Tensor, video_feats: Tensor, frame_mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the losses of features: (B, D) or (B, L, D), (B, T, D), (B, T) bool."""
        num_texts, num_videos = len(text_feats), len(video_feats)
        if num_texts != num_videos:
            raise ValueError(
                f'the loss needs one text per video, found {num_texts} texts for '
                f'{num_videos} videos'
            )
        return self.head.loss(text_feats, video_feats, _bool_mask(video_feats, frame_mask))

    def predict(
        self, inputs: dict[str, Any], data_samples: list[ActionDataSample] | None = None
    ) -> list[ActionDataSample]:
        """Attach the features of each video and its captions to its sample."""
        video, text = self._encode(inputs)
        num_captions = inputs.get('num_captions') or [1] * len(video)
        if sum(num_captions) != len(text):
            raise ValueError(f'found {len(text)} texts for num_captions={num_captions}')
        frame_mask = _bool_mask(inputs['imgs'], inputs.get('frame_mask'))
        pooled = masked_mean(F.normalize(video.float(), dim=-1), frame_mask)
        samples = data_samples or [ActionDataSample() for _ in num_captions]
        split_text = text.split(num_captions)
        for index, (sample, captions) in enumerate(zip(samples, split_text, strict=True)):
            sample.features = self._pack(video[index], frame_mask[index], pooled[index], captions)
        return samples

    def _pack(
        self, frames: Tensor, frame_mask: Tensor, pooled: Tensor, captions: Tensor
    ) -> InstanceData:
        """Features of one video, under the names that MMAction2's and our metric read."""
        # as metainfo, because the data fields of an InstanceData must have the same length
        features = _Features(
            metainfo=dict(
                frame_features=_copy(frames),
                frame_mask=_copy(frame_mask),
                text_features=_copy(captions),
                logit_scale=self.head.logit_scale.exp().item(),
                similarity=self.head.similarity_cfg,
            )
        )
        # with a similarity that compares frames, the mean over frames would rank differently
        if isinstance(self.head.cosine_similarity, MeanPooledSimilarity):
            features.video_feature = _copy(pooled)
        if len(captions) == 1:
            features.text_feature = _copy(captions[0])
        return features

    def _encode(self, inputs: dict[str, Any]) -> tuple[Tensor, Tensor]:
        video = self.encode_video(inputs['imgs'], inputs.get('frame_mask'))
        return video, self.encode_text(inputs['text'])


class _Features(InstanceData):
    """Features of a video and its captions; says why MMAction2's metric cannot rank them."""

    def to_dict(self) -> dict:
        """Convert to a dict, as MMEngine's evaluator does for its metrics."""
        return _PredictedFeatures(super().to_dict())


class _PredictedFeatures(dict):
    def __missing__(self, key: str) -> Any:
        if key == 'video_feature':
            kind = type_name(self['similarity'])
            why = f'{kind} compares frames, so a video has no single video_feature'
        elif key == 'text_feature':
            why = f'a video with {len(self["text_features"])} captions has no single text_feature'
        else:
            raise KeyError(key)
        raise ValueError(
            f"{why}, which MMAction2's RetrievalMetric needs: use TextVideoRetrievalMetric"
        )


def _copy(part: Tensor) -> Tensor:
    """Copy a part of a batch, so that saving it does not save the whole batch."""
    return part.detach().clone()


def _bool_mask(frames: Tensor, frame_mask: Tensor | None) -> Tensor:
    """Mask of the valid frames, all by default: frames (B, T, ...) -> (B, T) bool."""
    if frame_mask is None:
        return torch.ones(frames.shape[:2], dtype=torch.bool, device=frames.device)
    if frame_mask.shape != frames.shape[:2]:
        raise ValueError(
            f'frame_mask has shape {tuple(frame_mask.shape)}, expected {tuple(frames.shape[:2])} '
            f'for frames of shape {tuple(frames.shape)}'
        )
    return frame_mask.bool()
