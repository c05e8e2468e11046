"""The encoded videos of a folder, kept on disk: one safetensors file for each folder and model."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..utils.files import ensure_folder, replacing
from ..utils.progress import VideoProgress
from ..utils.text import printable
from ..video.video_files import VideoFile, describe_endings, is_skipped_video, last_ending
from .reading import find_readable

__all__ = ['Gallery', 'VideoEncoder', 'VideoFeatures', 'cache_path']

logger = logging.getLogger(__name__)

FORMAT = 'ts2net_mm gallery 3'
TENSORS = ('frame_features', 'frame_mask', 'frame_seconds')
# Seconds between two writes, and at least this many times the duration of the last write
SAVE_INTERVAL = 30.0
SAVE_COST_FACTOR = 20.0


@dataclass(frozen=True, eq=False)
class VideoFeatures:
    """Features of a batch of videos, on the CPU.

    Args:
        paths: The N videos that could be read.
        frame_features: (N, T, D), not normalised.
        frame_mask: (N, T), True for the frames of the video.
        frame_seconds: (N, T), presentation time of each frame; NaN if unknown.
        skipped: Reason by path for the videos that could not be read.
        unreadable: Those of ``skipped`` whose content is the reason, and not a time limit, a
            crash or the file system.
    """

    paths: list[str]
    frame_features: Tensor
    frame_mask: Tensor
    frame_seconds: Tensor
    skipped: dict[str, str] = field(default_factory=dict)
    unreadable: frozenset[str] = frozenset()


class VideoEncoder(Protocol):
    """The part of `RetrievalInferencer` that a gallery uses."""

    fingerprint: str
    video_pipeline: list[dict]

    def encode_videos(
        self, paths: Sequence[str | Path], *, batch_size: int, num_workers: int | None
    ) -> Iterator[VideoFeatures]:
        """Encode video files in their order and yield them in batches."""
        ...


@dataclass(frozen=True, eq=False)
class Gallery:
    """Frame features of the videos of a folder, for one model.

    Features stay float32: a thousand videos of 12 frames and 512 values take 25 MB, and the scores
    are those of the model's own evaluation.

    Args:
        folder: Folder of the videos.
        fingerprint: Hash of the model and pipeline that encoded them.
        videos: The N videos, sorted by name.
        frame_features: (N, T, D) float32 on the CPU, not normalised.
        frame_mask: (N, T), True for the frames of the video.
        frame_seconds: (N, T), presentation time of each frame; NaN if unknown.
        skipped: Reason by name for the videos that could not be read.
        left: Number of files that are not videos, by their ending.
        num_encoded: Number of videos encoded now; the others were on disk.
        num_dropped: Number of videos on disk that are missing in the folder.
    """

    folder: Path
    fingerprint: str
    videos: list[VideoFile]
    frame_features: Tensor
    frame_mask: Tensor
    frame_seconds: Tensor
    skipped: dict[str, str] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    num_encoded: int = 0
    num_dropped: int = 0

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.videos)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        inferencer: VideoEncoder,
        *,
        cache_dir: str | Path | None = None,
        batch_size: int = 8,
        num_workers: int | None = None,
        progress: bool = False,
    ) -> Gallery:
        """Load the encoded videos of a folder from disk, and encode those that are not there.

        A video on disk is used as long as its path inside the folder, its size, its modification
        time, the model's weights and settings and the test pipeline are the same. Features are
        written every half minute and at the end, also if encoding is interrupted. Every file is
        tried. A file with the ending of a video that cannot be read is tried again each time,
        because it may have been a copy in progress. Others whose content cannot be read do not
        count as videos until they change.

        Args:
            folder: Folder with videos, also in sub-folders.
            inferencer: The model.
            cache_dir: Folder for the features, by default ``$XDG_CACHE_HOME/ts2net_mm`` or
                ``~/.cache/ts2net_mm``. It may be deleted at any time.
            batch_size: Videos per batch.
            num_workers: Processes that decode.
            progress: Whether to show the progress on stderr.

        Raises:
            FileNotFoundError: If the folder does not exist.
            ValueError: If it holds no video, or none that can be read.
            OSError: If the cache folder cannot be written.
        """
        videos = find_readable(folder, inferencer.video_pipeline)
        path = cache_path(folder, inferencer.fingerprint, cache_dir).with_suffix('.safetensors')
        on_disk = read_gallery_file(path, inferencer.fingerprint)
        store = _Store(path, inferencer.fingerprint, videos, on_disk)
        num_known, new = len(store.encoded), store.unknown_files()
        with VideoProgress(len(new), enabled=progress) as bar, store:
            for batch in inferencer.encode_videos(
                [video.path for video in new], batch_size=batch_size, num_workers=num_workers
            ):
                store.add(batch)
                bar.advance(len(batch.paths) + len(batch.skipped))
        readable = [video for video in videos if video.name in store.encoded]
        left = dict(Counter(map(last_ending, store.others)).most_common())
        if not readable and store.skipped:
            name, reason = next(iter(store.skipped.items()))
            raise ValueError(
                f'none of the {len(store.skipped)} videos in {folder} can be read; the first '
                f'is {printable(name)}: {reason}'
            )
        if not readable:
            raise ValueError(f'there is no video in {folder}, only files {describe_endings(left)}')
        entries = [store.encoded[video.name] for video in readable]
        return cls(
            folder=Path(folder),
            fingerprint=inferencer.fingerprint,
            videos=readable,
            frame_features=torch.stack([entry.frame_features for entry in entries]),
            frame_mask=torch.stack([entry.frame_mask for entry in entries]),
            frame_seconds=torch.stack([entry.frame_seconds for entry in entries]),
            skipped=store.skipped,
            left=left,
            num_encoded=len(readable) - num_known,
            num_dropped=len(on_disk.videos.keys() - {video.name for video in videos}),
        )


@dataclass(frozen=True, eq=False)
class EncodedVideo:
    """Features of a video, with the size and modification time of its file."""

    size: int
    mtime_ns: int
    frame_features: Tensor
    frame_mask: Tensor
    frame_seconds: Tensor


@dataclass
class GalleryContent:
    """Content of a gallery file.

    Args:
        videos: Encoded videos by name.
        others: Size and modification time, by name, of the files that are not videos.
    """

    videos: dict[str, EncodedVideo] = field(default_factory=dict)
    others: dict[str, tuple[int, int]] = field(default_factory=dict)


class _Store:
    """Collects encoded videos; writes them at intervals and on exit, also after an error."""

    def __init__(
        self, path: Path, fingerprint: str, videos: list[VideoFile], on_disk: GalleryContent
    ) -> None:
        self.path = path
        self.fingerprint = fingerprint
        self.files = {str(video.path): video for video in videos}
        self.skipped: dict[str, str] = {}
        states = {video.name: (video.size, video.mtime_ns) for video in videos}
        self.encoded = {
            name: entry
            for name in states
            if (entry := on_disk.videos.get(name)) and (entry.size, entry.mtime_ns) == states[name]
        }
        self.others = {
            name: state for name, state in states.items() if on_disk.others.get(name) == state
        }
        self._is_saved = len(self.encoded) == len(on_disk.videos)
        self._next_save = time.monotonic() + SAVE_INTERVAL

    def __enter__(self) -> _Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._is_saved:
            self._save()
        if kind is KeyboardInterrupt and self.encoded:
            counts = f'{len(self.encoded)} of {len(self.files)} videos'
            raise KeyboardInterrupt(f'{counts} are encoded and kept in {self.path}') from None

    def unknown_files(self) -> list[VideoFile]:
        """List the files that have to be tried."""
        known = self.encoded.keys() | self.others.keys()
        return [file for file in self.files.values() if file.name not in known]

    def add(self, batch: VideoFeatures) -> None:
        """Add a batch of encoded videos."""
        for path, *parts in zip(
            batch.paths, batch.frame_features, batch.frame_mask, batch.frame_seconds, strict=True
        ):
            file = self.files[path]
            self.encoded[file.name] = EncodedVideo(file.size, file.mtime_ns, *parts)
            self._is_saved = False
        for path, reason in batch.skipped.items():
            file = self.files[path]
            if is_skipped_video(path, is_final=path in batch.unreadable):
                self.skipped[file.name] = reason
            else:
                self.others[file.name] = (file.size, file.mtime_ns)
                self._is_saved = False
        if time.monotonic() >= self._next_save:
            self._save()

    def _save(self) -> None:
        start = time.monotonic()
        try:
            content = GalleryContent(self.encoded, self.others)
            write_gallery_file(self.path, self.fingerprint, content)
            self._is_saved = True
        except OSError as error:
            logger.warning('features cannot be kept in %s: %s', self.path, error)
        end = time.monotonic()
        self._next_save = end + max(SAVE_INTERVAL, SAVE_COST_FACTOR * (end - start))


def cache_path(folder: str | Path, settings: str, cache_dir: str | Path | None = None) -> Path:
    """Return a path in the cache for a folder and settings, whose hash is its name.

    Args:
        folder: The folder.
        settings: What the content depends on besides the folder.
        cache_dir: The folder for it, by default ``$XDG_CACHE_HOME/ts2net_mm`` or
            ``~/.cache/ts2net_mm``; it is made if it is missing.

    Raises:
        OSError: If the cache folder cannot be written.
    """
    home = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    cache = ensure_folder(cache_dir or Path(home) / 'ts2net_mm', 'cache folder')
    place = os.fsencode(Path(folder).expanduser().resolve())
    return cache / hashlib.sha256(place + os.fsencode(settings)).hexdigest()[:32]


def read_gallery_file(path: Path, fingerprint: str) -> GalleryContent:
    """Read a gallery file; a damaged file counts as empty, with a warning."""
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
        logger.warning('features in %s cannot be used, videos are encoded again: %s', path, error)
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
    """Write a gallery file atomically, or delete it if there are no videos.

    Raises:
        OSError: If the file cannot be written.
    """
    videos = content.videos
    if not videos:
        path.unlink(missing_ok=True)
        return
    tensors = {
        name: torch.stack([getattr(video, name) for video in videos.values()]) for name in TENSORS
    }
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
