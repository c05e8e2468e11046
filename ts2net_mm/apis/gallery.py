"""The encoded videos of a folder, kept on disk."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..utils.progress import VideoProgress
from ..utils.text import printable
from ..video.video_files import (
    VIDEO_EXTENSIONS,
    VideoFile,
    describe_endings,
    find_frame_folders,
    find_videos,
    last_ending,
)
from .gallery_file import (
    EncodedVideo,
    GalleryContent,
    gallery_path,
    read_gallery_file,
    write_gallery_file,
)
from .pipeline import frame_template

if TYPE_CHECKING:
    from .inferencer import RetrievalInferencer, VideoFeatures

__all__ = ['Gallery', 'find_readable']

logger = logging.getLogger(__name__)

# Seconds between two writes, at least so many times as long as the last write took.
SAVE_INTERVAL = 30.0
SAVE_COST_FACTOR = 20.0


@dataclass(frozen=True, eq=False)
class Gallery:
    """Frame features of the videos of a folder, for one model.

    Features stay float32: a thousand videos of 12 frames and 512 values take 25 MB, and the scores
    are those of the model's own evaluation.

    Args:
        folder: Where the videos are.
        fingerprint: Of the model and pipeline that encoded them.
        videos: The N videos, sorted by name.
        frame_features: (N, T, D) float32 on the CPU, not normalised.
        frame_mask: (N, T), True for the frames of the video.
        frame_seconds: (N, T), when each frame is shown; NaN where that is unknown.
        skipped: Reason by name for the videos that could not be read.
        left: Number of the files that are no videos, by their ending.
        num_encoded: Videos that were encoded just now; the others were on disk.
        num_dropped: Videos on disk that are gone from the folder.
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
        """Number of videos that can be found."""
        return len(self.videos)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        inferencer: RetrievalInferencer,
        *,
        cache_dir: str | Path | None = None,
        batch_size: int = 8,
        num_workers: int | None = None,
        progress: bool = False,
    ) -> Gallery:
        """Encode the videos of a folder, as far as they are not on disk yet.

        A video on disk counts as long as its path inside the folder, its size, its time of change,
        the model's weights and settings and the test pipeline are the same. What is encoded is
        written every half minute and at the end, also when the encoding is broken off. Every file
        is tried. One that has the ending of a video and cannot be read is tried again each time: it
        may have been a copy under way. Others that cannot be read count as no videos until they
        change.

        Args:
            folder: Folder with videos, also in sub-folders.
            inferencer: The model.
            cache_dir: Where features are kept, by default ``$XDG_CACHE_HOME/ts2net_mm`` or
                ``~/.cache/ts2net_mm``. It may be deleted at any time.
            batch_size: Videos that the model takes at a time.
            num_workers: Processes that decode.
            progress: Whether to show the progress on stderr.

        Raises:
            FileNotFoundError: If the folder does not exist.
            ValueError: If it holds no video, or none that can be read.
            OSError: If the cache folder cannot be written.
        """
        videos = find_readable(folder, inferencer.video_pipeline)
        path = gallery_path(folder, inferencer.fingerprint, cache_dir)
        on_disk = read_gallery_file(path, inferencer.fingerprint)
        store = _Store(path, inferencer.fingerprint, videos, on_disk)
        num_known, new = len(store.encoded), store.missing
        with VideoProgress(len(new), enabled=progress) as bar, store:
            for batch in inferencer.encode_videos(
                [video.path for video in new], batch_size=batch_size, num_workers=num_workers
            ):
                store.add(batch)
                bar.advance(len(batch.paths) + len(batch.skipped))
        readable = [video for video in videos if video.name in store.encoded]
        left = dict(Counter(map(last_ending, store.others)).most_common())
        if not readable:
            if store.skipped:
                name, reason = next(iter(store.skipped.items()))
                raise ValueError(
                    f'none of the {len(store.skipped)} videos in {folder} can be read; the first '
                    f'is {printable(name)}: {reason}'
                )
            raise ValueError(f'there is no video in {folder}, only files {describe_endings(left)}')
        entries = [store.encoded[video.name] for video in readable]
        return cls(
            folder=Path(folder),
            fingerprint=inferencer.fingerprint,
            videos=readable,
            frame_features=torch.stack([entry.features for entry in entries]),
            frame_mask=torch.stack([entry.frame_mask for entry in entries]),
            frame_seconds=torch.stack([entry.frame_seconds for entry in entries]),
            skipped=store.skipped,
            left=left,
            num_encoded=len(readable) - num_known,
            num_dropped=len(on_disk.videos.keys() - {video.name for video in videos}),
        )


def find_readable(folder: str | Path, pipeline: Sequence[dict]) -> list[VideoFile]:
    """List what a test pipeline may read in a folder: files of any kind, or folders of pictures.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If it holds none.
    """
    template = frame_template(pipeline)
    if template:
        videos = find_frame_folders(folder, template)
    else:
        videos = find_videos(folder, extensions=None)
    if not videos:
        what = f'folder of pictures like {template.format(1)}' if template else 'video file'
        raise ValueError(f'there is no {what} in {folder}')
    return videos


class _Store:
    """Videos encoded so far, written now and then and when the context ends, however it ends."""

    def __init__(
        self,
        path: Path,
        fingerprint: str,
        videos: list[VideoFile],
        on_disk: GalleryContent,
    ) -> None:
        self.path = path
        self.fingerprint = fingerprint
        self.files = {str(video.path): video for video in videos}
        self.encoded = {
            video.name: entry
            for video in videos
            if (entry := on_disk.videos.get(video.name))
            and (entry.size, entry.mtime_ns) == (video.size, video.mtime_ns)
        }
        self.others = {
            video.name: (video.size, video.mtime_ns)
            for video in videos
            if on_disk.others.get(video.name) == (video.size, video.mtime_ns)
        }
        self.skipped: dict[str, str] = {}
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

    @property
    def missing(self) -> list[VideoFile]:
        """Files that have to be tried."""
        known = self.encoded.keys() | self.others.keys()
        return [file for file in self.files.values() if file.name not in known]

    def add(self, batch: VideoFeatures) -> None:
        """Take over a batch of encoded videos."""
        for path, *parts in zip(
            batch.paths, batch.frame_features, batch.frame_mask, batch.frame_seconds, strict=True
        ):
            file = self.files[path]
            self.encoded[file.name] = EncodedVideo(file.size, file.mtime_ns, *parts)
        for path, reason in batch.skipped.items():
            file = self.files[path]
            if file.path.is_dir() or last_ending(file.name) in VIDEO_EXTENSIONS:
                self.skipped[file.name] = reason
            else:
                self.others[file.name] = (file.size, file.mtime_ns)
                self._is_saved = False
        self._is_saved = self._is_saved and not batch.paths
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
