"""Read and write the encoded videos of a folder: one safetensors file for each folder and model."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..utils.files import replacing

__all__ = [
    'EncodedVideo',
    'GalleryContent',
    'default_cache_dir',
    'gallery_path',
    'read_gallery_file',
    'write_gallery_file',
]

logger = logging.getLogger(__name__)

FORMAT = 'ts2net_mm gallery 3'
TENSORS = ('frame_features', 'frame_mask', 'frame_seconds')


@dataclass(frozen=True, eq=False)
class EncodedVideo:
    """What is kept of a video, and the state of the file that it stands for.

    Args:
        size: Bytes of the file.
        mtime_ns: Time of its last change, nanoseconds.
        features: (T, D) float32.
        frame_mask: (T,) bool.
        frame_seconds: (T,) float32, when each frame is shown; NaN where that is unknown.
    """

    size: int
    mtime_ns: int
    features: Tensor
    frame_mask: Tensor
    frame_seconds: Tensor


@dataclass
class GalleryContent:
    """What is kept of a folder.

    Args:
        videos: What could be encoded, by name.
        others: Size and time of change of files that are no videos, by name.
    """

    videos: dict[str, EncodedVideo] = field(default_factory=dict)
    others: dict[str, tuple[int, int]] = field(default_factory=dict)


def default_cache_dir() -> Path:
    """``$XDG_CACHE_HOME/ts2net_mm``, or ``~/.cache/ts2net_mm``."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'ts2net_mm'


def gallery_path(folder: str | Path, fingerprint: str, cache_dir: str | Path | None = None) -> Path:
    """Name the file of a folder and a model; both are hashed into it.

    Raises:
        OSError: If the cache folder cannot be made or written.
    """
    cache = Path(cache_dir).expanduser() if cache_dir else default_cache_dir()
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f'cache folder {cache} cannot be made: {error.strerror}') from error
    if not os.access(cache, os.W_OK):
        raise PermissionError(f'cache folder {cache} cannot be written')
    place = os.fsencode(Path(folder).expanduser().resolve())
    return cache / f'{hashlib.sha256(place + fingerprint.encode()).hexdigest()[:32]}.safetensors'


def read_gallery_file(path: Path, fingerprint: str) -> GalleryContent:
    """Read what is kept; a file that is damaged counts as empty, with a warning."""
    if not path.exists():
        return GalleryContent()
    try:
        with safe_open(path, framework='pt') as file:
            index = json.loads(file.metadata()['index'])
            if index['format'] != FORMAT or index['fingerprint'] != fingerprint:
                raise ValueError('it is of another format or model')
            features, mask, seconds = (file.get_tensor(name) for name in TENSORS)
        _check(index, features, mask, seconds)
        videos = {
            name: EncodedVideo(int(size), int(mtime_ns), *parts)
            for (name, size, mtime_ns), *parts in zip(
                index['videos'], features, mask, seconds, strict=True
            )
        }
        others = {name: (int(size), int(mtime_ns)) for name, size, mtime_ns in index['others']}
        return GalleryContent(videos, others)
    except (OSError, SafetensorError, LookupError, TypeError, ValueError) as error:
        logger.warning('features kept in %s cannot be used and are made anew: %s', path, error)
        return GalleryContent()


def _check(index: dict, features: Tensor, mask: Tensor, seconds: Tensor) -> None:
    """Raise a ValueError if the tensors are not those that were written."""
    shape = (len(index['videos']), mask.shape[-1])
    if features.ndim != 3 or tuple(features.shape[:2]) != shape:
        raise ValueError(f'features of shape {tuple(features.shape)}, expected {shape} x channels')
    if not mask.shape == seconds.shape == shape or mask.dtype != torch.bool:
        raise ValueError('masks or times do not belong to the features')
    if _checksum(features, mask, seconds) != index['checksum']:
        raise ValueError('its checksum is wrong')
    if not torch.isfinite(features).all():
        raise ValueError('it holds features that are not finite')


def _checksum(*tensors: Tensor) -> int:
    value = 0
    for tensor in tensors:
        value = zlib.crc32(tensor.contiguous().numpy().tobytes(), value)
    return value


def write_gallery_file(path: Path, fingerprint: str, content: GalleryContent) -> None:
    """Write what is kept, whole or not at all; no videos, no file.

    Raises:
        OSError: If the disk does not take it.
    """
    videos = content.videos
    if not videos:
        path.unlink(missing_ok=True)
        return
    parts = zip(
        *((one.features, one.frame_mask, one.frame_seconds) for one in videos.values()), strict=True
    )
    tensors = dict(zip(TENSORS, map(torch.stack, parts), strict=True))
    index = dict(
        format=FORMAT,
        fingerprint=fingerprint,
        videos=[(name, video.size, video.mtime_ns) for name, video in videos.items()],
        others=[(name, *state) for name, state in content.others.items()],
        checksum=_checksum(*tensors.values()),
    )
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata=dict(index=json.dumps(index)))
        except SafetensorError as error:
            raise OSError(str(error)) from error
