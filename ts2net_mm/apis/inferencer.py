"""Search videos by sentences with a trained model."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from mmaction.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch import Tensor

from ..utils.text import has_words
from ..utils.workers import Failure, available_cpus, map_in_workers
from .loading import build_model, fingerprint, load_config, load_weights, resolve_device
from .pipeline import split_test_pipeline, with_threads
from .reading import Frame, FrameReader, PipelineReader

if TYPE_CHECKING:
    from .gallery import Gallery

__all__ = ['RetrievalInferencer', 'SearchHit', 'VideoFeatures']

logger = logging.getLogger(__name__)

TEXTS_AT_A_TIME = 256
VIDEOS_AT_A_TIME = 8192


@dataclass(frozen=True, eq=False)
class VideoFeatures:
    """Features of a batch of videos, on the CPU.

    Args:
        paths: The N videos that could be read.
        frame_features: (N, T, D), not normalised.
        frame_mask: (N, T), True for the frames of the video.
        frame_seconds: (N, T), when each frame is shown; NaN where that is unknown.
        skipped: Reason by path for those that could not be read.
    """

    paths: list[str]
    frame_features: Tensor
    frame_mask: Tensor
    frame_seconds: Tensor
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SearchHit:
    """A video that a search found.

    Args:
        rank: From 1.
        score: Similarity of sentence and video without the logit scale: between -1 and 1.
        name: Path of the video inside the gallery's folder.
        path: Where the video is.
        best_seconds: When the frame is shown that fits the sentence best; None where that is
            unknown.
    """

    rank: int
    score: float
    name: str
    path: Path
    best_seconds: float | None = None


class RetrievalInferencer:
    """Encode sentences and video files with a trained model, and find one by the other.

    Videos pass the test pipeline of the config, without its captions, in worker processes;
    sentences pass its ``TokenizeCaptions``.

    Args:
        config: Config file of the model, or the config itself.
        checkpoint: Its weights; every key has to fit.
        device: Where the model runs; the first GPU by default, or the CPU where there is none.

    Raises:
        FileNotFoundError: If config or checkpoint do not exist.
        ValueError: If one of them does not serve, or the device cannot be used.

    Example:
        >>> # xdoctest: +SKIP(needs a trained model)
        >>> inferencer = RetrievalInferencer('configs/ts2net_msrvtt.py', 'ts2net.pth')
        >>> gallery = Gallery.open('videos', inferencer)
        >>> inferencer.search('a dog catches a ball', gallery)[0].path
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        *,
        device: str | torch.device | None = None,
    ) -> None:
        device = resolve_device(device)
        self.cfg = load_config(config)
        self.name = f'{Path(self.cfg.filename or "config").name} with {Path(checkpoint).name}'
        self.video_pipeline, text_transform = split_test_pipeline(self.cfg)
        self._tokenize = TRANSFORMS.build(text_transform)
        self.model: Any = build_model(self.cfg)
        load_weights(self.model, checkpoint)
        self.fingerprint = fingerprint(self.model, self.cfg.model.to_dict(), self.video_pipeline)
        self.model.to(device).eval()

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Encode sentences: N strings -> (N, D) on the CPU, not normalised.

        A sentence of more tokens than the model reads is cut, with a warning in the log.

        Raises:
            ValueError: If there is none, or one is no string or has no word.
        """
        if not texts or isinstance(texts, str):
            raise ValueError(f'texts={texts!r}, expected a list of at least one sentence')
        for index, text in enumerate(texts):
            if not isinstance(text, str) or not has_words(text):
                raise ValueError(
                    f'sentence {index + 1} of {len(texts)} is {text!r}, expected words'
                )
            if (found := self._tokenize.count_tokens(text)) > self._tokenize.max_words:
                logger.warning(
                    'a sentence has %d tokens, of which the model reads the first %d: %.60r...',
                    found - 2,
                    self._tokenize.max_words - 2,
                    text,
                )
        tokens = torch.as_tensor(self._tokenize(dict(text=list(texts)))['text'])
        parts = tokens.to(self._device).split(TEXTS_AT_A_TIME)
        return torch.cat([self.model.encode_text(part).float().cpu() for part in parts])

    def encode_videos(
        self, paths: Sequence[str | Path], *, batch_size: int = 8, num_workers: int | None = None
    ) -> Iterator[VideoFeatures]:
        """Encode video files, a batch at a time and in their order.

        Args:
            paths: The files. One that cannot be read is skipped; the result of its batch names it.
            batch_size: Videos that the model takes at a time.
            num_workers: Processes that decode; by default one a CPU core, at most 8.
        """
        if batch_size < 1:
            raise ValueError(f'batch_size={batch_size}, expected at least 1')
        num_workers = min(num_workers or min(8, available_cpus()), max(1, len(paths)))
        # all cores, also where videos are few
        pipeline = with_threads(self.video_pipeline, max(1, available_cpus() // num_workers))
        results = map_in_workers(
            PipelineReader(pipeline=pipeline),
            [str(path) for path in paths],
            num_workers=num_workers,
            max_ahead=2 * batch_size,
        )
        while batch := list(islice(results, batch_size)):
            yield self._encode_batch(batch)

    def read_frames(
        self,
        paths: Sequence[str | Path],
        *,
        large: Mapping[str, Collection[float]] | None = None,
        num_workers: int | None = None,
    ) -> dict[str, list[Frame] | Failure]:
        """Decode frames that the model looks at: path -> frames, or why there are none.

        Args:
            paths: The videos; of each, at most 12 evenly spaced frames are returned.
            large: By path, the seconds of frames that are returned in any case, and larger.
            num_workers: Processes that decode.
        """
        reader = FrameReader(pipeline=self.video_pipeline, large=large)
        return dict(map_in_workers(reader, [str(path) for path in paths], num_workers=num_workers))

    @torch.inference_mode()
    def search(self, text: str, gallery: Gallery, *, topk: int = 5) -> list[SearchHit]:
        """Rank the videos of a gallery by their similarity to a sentence, best first.

        Raises:
            ValueError: If ``topk`` is below 1, the gallery is another model's or empty, or a
                score is not a number.
        """
        if topk < 1:
            raise ValueError(f'topk={topk}, expected at least 1')
        if gallery.fingerprint != self.fingerprint:
            raise ValueError('the gallery was encoded by another model or pipeline than this one')
        if not len(gallery):
            raise ValueError(f'the gallery of {gallery.folder} holds no video')
        feature = self.encode_texts([text])
        scores = self._score(feature, gallery)
        if scores.isnan().any():
            name = gallery.videos[int(scores.isnan().nonzero()[0])].name
            raise ValueError(f'the score of {name} is not a number: the weights may be broken')
        order = scores.sort(descending=True, stable=True).indices[:topk].tolist()
        return [
            SearchHit(
                rank,
                float(scores[index]),
                gallery.videos[index].name,
                gallery.videos[index].path,
                _best_seconds(feature, gallery, index),
            )
            for rank, index in enumerate(order, start=1)
        ]

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _score(self, text: Tensor, gallery: Gallery) -> Tensor:
        """Similarities without the logit scale: (1, D) -> (number of videos,)."""
        scores = []
        for video, mask in zip(
            gallery.frame_features.split(VIDEOS_AT_A_TIME),
            gallery.frame_mask.split(VIDEOS_AT_A_TIME),
            strict=True,
        ):
            features = (item.to(self._device) for item in (text, video, mask))
            scores.append(self.model.similarity(*features)[0] / self.model.head.logit_scale.exp())
        return torch.cat(scores).float().cpu()

    @torch.inference_mode()
    def _encode_batch(self, batch: list[tuple[str, dict | Failure]]) -> VideoFeatures:
        skipped = {path: item.reason for path, item in batch if isinstance(item, Failure)}
        paths = [path for path, _ in batch if path not in skipped]
        if not paths:
            empty = torch.empty(0, 0)
            return VideoFeatures([], torch.empty(0, 0, 0), empty.bool(), empty, skipped)
        items = [_to_tensors(item) for _, item in batch if not isinstance(item, Failure)]
        seconds = torch.stack([item.pop('frame_seconds') for item in items])
        inputs = self.model.data_preprocessor(pseudo_collate(items), False)['inputs']
        features = self.model.encode_video(inputs['imgs'], inputs['frame_mask'])
        return VideoFeatures(
            paths, features.float().cpu(), inputs['frame_mask'].cpu(), seconds, skipped
        )


def _best_seconds(text: Tensor, gallery: Gallery, index: int) -> float | None:
    """When the frame of a video is shown whose cosine with a sentence is the largest."""
    cosines = F.normalize(gallery.frame_features[index], dim=-1) @ F.normalize(text[0], dim=-1)
    best = int(cosines.masked_fill(~gallery.frame_mask[index], -2).argmax())
    seconds = float(gallery.frame_seconds[index, best])
    return None if math.isnan(seconds) else seconds


def _to_tensors(item: dict) -> dict:
    item = dict(item, frame_seconds=torch.from_numpy(item['frame_seconds']))
    inputs = {key: torch.from_numpy(value) for key, value in item['inputs'].items()}
    return dict(item, inputs=inputs)
