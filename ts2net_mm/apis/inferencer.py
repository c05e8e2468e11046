"""Encode sentences and videos with a trained model, and search videos by sentences."""

import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from ..checkpoints import load_weights
from ..utils.text import has_words, one_line
from ..utils.workers import Failure, available_cpus, map_in_workers
from .gallery import Gallery, VideoFeatures
from .hits import SearchHit
from .reading import (
    VIDEO_TIMEOUT,
    Frame,
    FrameReader,
    PipelineReader,
    split_test_pipeline,
    with_threads,
)

__all__ = ['RetrievalInferencer', 'build_model', 'load_config']

logger = logging.getLogger(__name__)

TEXTS_AT_A_TIME = 256
VIDEOS_AT_A_TIME = 8192


class RetrievalInferencer:
    """Encode sentences and video files with a trained model, and search videos by sentences.

    Videos pass the config's test pipeline, without its captions, in worker processes; sentences
    pass its ``TokenizeCaptions``.

    Args:
        config: Config file of the model, or the config itself.
        checkpoint: Weights of any format (a file, folder, URL or name); every key has to fit.
        device: Where the model runs; by default the first GPU, or the CPU if there is none.
        amp: Encode in half precision where torch's autocast does, bf16 on a CPU and fp16 on a GPU.

    Raises:
        FileNotFoundError: If config or checkpoint do not exist.
        ValueError: If config or checkpoint are invalid, or the device cannot be used.

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
        amp: bool = False,
    ) -> None:
        device = _resolve_device(device)
        self._amp = amp
        self.cfg = load_config(config)
        self.name = f'{Path(self.cfg.filename or "config").name} with {Path(checkpoint).name}'
        self.video_pipeline, text_transform = split_test_pipeline(self.cfg)
        self._tokenize = TRANSFORMS.build(text_transform)
        self.model: Any = build_model(self.cfg)
        load_weights(self.model, checkpoint)
        settings = [self.cfg.model.to_dict(), self.video_pipeline]
        if amp:
            settings.append(torch.get_autocast_dtype(device.type))
        self.fingerprint = _fingerprint(self.model, *settings)
        self.model.to(device).eval()

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Encode sentences: N strings -> (N, D), or words (N, L, D), on the CPU, not normalised.

        A sentence with more tokens than the model reads is cut, with a warning.

        Raises:
            ValueError: If there is no sentence, or one of them is not a string with a word.
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
        with self._autocast():
            return torch.cat([self.model.encode_text(part).float().cpu() for part in parts])

    def encode_videos(
        self, paths: Sequence[str | Path], *, batch_size: int = 8, num_workers: int | None = None
    ) -> Iterator[VideoFeatures]:
        """Encode video files in their order and yield them in batches.

        Args:
            paths: The files. Those that cannot be read are skipped and named in their batch.
            batch_size: Videos per batch.
            num_workers: Processes that decode; by default one per CPU core, at most 8.
        """
        if batch_size < 1:
            raise ValueError(f'batch_size={batch_size}, expected at least 1')
        num_workers = min(num_workers or min(8, available_cpus()), max(1, len(paths)))
        # all cores, even if there are only a few videos
        pipeline = with_threads(self.video_pipeline, max(1, available_cpus() // num_workers))
        results = map_in_workers(
            PipelineReader(pipeline=pipeline),
            [str(path) for path in paths],
            num_workers=num_workers,
            timeout=VIDEO_TIMEOUT,
            max_ahead=2 * batch_size,
        )
        while batch := list(islice(results, batch_size)):
            yield self._encode_batch(batch)

    def _encode_batch(self, batch: list[tuple[str, dict | Failure]]) -> VideoFeatures:
        failures = {path: item for path, item in batch if isinstance(item, Failure)}
        skipped = {path: failure.reason for path, failure in failures.items()}
        unreadable = frozenset(path for path, failure in failures.items() if failure.is_final)
        paths = [path for path, item in batch if not isinstance(item, Failure)]
        items = [item for _, item in batch if not isinstance(item, Failure)]
        if not items:
            empty = torch.empty(0, 0)
            return VideoFeatures([], torch.empty(0, 0, 0), empty.bool(), empty, skipped, unreadable)
        seconds = torch.stack([torch.from_numpy(item['frame_seconds']) for item in items])
        features, mask = self.encode_items(items)
        return VideoFeatures(paths, features, mask, seconds, skipped, unreadable)

    @torch.inference_mode()
    def encode_items(self, items: Sequence[dict[str, Any]]) -> tuple[Tensor, Tensor]:
        """Encode what the pipeline packed of videos, as `PipelineReader` returns it.

        Returns:
            Features (N, T, D), not normalised, and masks (N, T), on the CPU.
        """
        data = [
            dict(
                inputs={key: torch.from_numpy(value) for key, value in item['inputs'].items()},
                data_samples=item['data_samples'],
            )
            for item in items
        ]
        inputs = self.model.data_preprocessor(pseudo_collate(data), False)['inputs']
        mask = inputs['frame_mask']
        with self._autocast():
            features = self.model.encode_video(inputs['imgs'], mask).float().cpu()
        return features, mask.cpu()

    @torch.inference_mode()
    def score_frames(
        self, texts: np.ndarray, features: np.ndarray, frame_mask: np.ndarray
    ) -> np.ndarray:
        """Compute similarities without the logit scale: (N, D), (B, T, D), (B, T) -> (N, B)."""
        arrays = (texts.astype(np.float32), features.astype(np.float32), frame_mask)
        tensors = (torch.from_numpy(array).to(self._device) for array in arrays)
        scores = self.model.similarity(*tensors) / self.model.head.logit_scale.exp()
        return scores.float().cpu().numpy()

    @property
    def max_words(self) -> int:
        """Tokens of a sentence that the model reads, start and end included."""
        return self._tokenize.max_words

    @property
    def index_score(self) -> dict[str, Any] | None:
        """The score of an index that computes the model's similarity; None if there is none.

        Raises:
            ValueError: If the model compares words, which a query of an index does not have.
        """
        if self.model.head.compares_words:
            raise ValueError(
                f'{self.name} compares the words of a sentence, but an index is searched with one '
                'vector: search a Gallery in Python'
            )
        return getattr(self.model.head.cosine_similarity, 'index_score', None)

    def read_frames(
        self,
        paths: Sequence[str | Path],
        *,
        large: Mapping[str, Collection[float]] | None = None,
        times: Mapping[str, Sequence[float]] | None = None,
        num_workers: int | None = None,
    ) -> dict[str, list[Frame] | Failure]:
        """Decode frames that the model sees: path -> frames, or why there are none.

        Args:
            paths: The videos; at most 12 evenly spaced frames of each are returned.
            large: By path, the times of frames that are always returned, and larger.
            times: By path, the times of frames to take instead of those of the whole video.
            num_workers: Processes that decode.
        """
        reader = FrameReader(pipeline=self.video_pipeline, large=large, times=times)
        names = [str(path) for path in paths]
        return dict(map_in_workers(reader, names, num_workers=num_workers, timeout=VIDEO_TIMEOUT))

    @torch.inference_mode()
    def search(self, text: str, gallery: Gallery, *, topk: int = 5) -> list[SearchHit]:
        """Rank the videos of a gallery by their similarity to a sentence, best first.

        Raises:
            ValueError: If ``topk`` is below 1, the gallery is empty or was encoded by another
                model, or a score is not a number.
        """
        if topk < 1:
            raise ValueError(f'topk={topk}, expected at least 1')
        if gallery.fingerprint != self.fingerprint:
            raise ValueError('the gallery was encoded by another model or pipeline')
        if not len(gallery):
            raise ValueError(f'the gallery of {gallery.folder} holds no video')
        feature = self.encode_texts([text])
        scores = self._score(feature, gallery)
        if scores.isnan().any():
            name = gallery.videos[int(scores.isnan().nonzero()[0])].name
            raise ValueError(f'the score of {name} is not a number: the weights may be damaged')
        order = scores.sort(descending=True, stable=True).indices[:topk].tolist()
        return [
            SearchHit(
                rank,
                float(scores[index]),
                gallery.videos[index].name,
                gallery.videos[index].path,
                *_score_frames(feature, gallery, index),
            )
            for rank, index in enumerate(order, start=1)
        ]

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

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, enabled=self._amp)

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device


def _score_frames(
    text: Tensor, gallery: Gallery, index: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Cosine of a sentence and each frame of a video, and the time of each frame."""
    text = text.flatten(0, -2)  # a sentence, or its words, of which 0 is padding
    text = text[text.any(dim=-1)]
    mask = gallery.frame_mask[index]
    frames = gallery.frame_features[index][mask]
    cosines = F.normalize(frames, dim=-1) @ F.normalize(text, dim=-1).T
    seconds = gallery.frame_seconds[index][mask]
    return tuple(cosines.amax(dim=-1).tolist()), tuple(seconds.tolist())


def load_config(config: str | Path | Config) -> Config:
    """Read a config, import its ``custom_imports`` and make its registry scope the default.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it cannot be read or has no model; the message names the file.
    """
    if not isinstance(config, Config):
        path = Path(config).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f'config {path} does not exist')
        try:
            config = Config.fromfile(path)
        except Exception as error:  # a config is code: it may raise anything
            raise ValueError(f'config {path} cannot be read: {one_line(error)}') from error
    if 'model' not in config:
        raise ValueError(f'config {config.filename} has no model, found keys {sorted(config)}')
    init_default_scope(config.get('default_scope') or 'mmaction')
    return config


def build_model(config: Config) -> nn.Module:
    """Build ``config.model`` without initial weights.

    Raises:
        ValueError: If the model's settings are wrong; the message names the config.
    """
    try:
        return MODELS.build(config.model)
    except Exception as error:  # constructors raise many types
        raise ValueError(
            f'the model of config {config.filename} cannot be built: {one_line(error)}'
        ) from error


def _fingerprint(model: nn.Module, *settings: Any) -> str:
    """Hash the weights of a model and the settings that its features depend on."""
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(f'{key} {value.dtype} {tuple(value.shape)};'.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _resolve_device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise ValueError(f'device {str(device)!r} cannot be used: {one_line(error)}') from error
    return torch.device(device)
