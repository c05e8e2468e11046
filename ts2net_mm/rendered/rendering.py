"""Rendering of a whole data set into a folder, by one process at a time."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
from filelock import FileLock, Timeout

from ..utils.files import require_same_settings, write_text
from ..utils.workers import Failure, map_in_workers
from .mp4 import encode_mp4, is_complete_mp4
from .planning import SPLITS, RenderedSet, Video

__all__ = ['DatasetFolder', 'RenderSummary', 'one_writer', 'render']

_MANIFEST = 'dataset.json'
_SCRATCH = '.rendering'
_LOCK = '.lock'

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RenderSummary:
    """What a rendering did.

    Args:
        num_videos: Videos in each split.
        num_rendered: Videos rendered now.
        num_kept: Complete videos that were there before.
    """

    num_videos: dict[str, int]
    num_rendered: int
    num_kept: int


def render(
    data_set: RenderedSet,
    out_dir: str | os.PathLike[str],
    *,
    seed: int = 0,
    num_train_videos: int = 2560,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RenderSummary:
    """Render a data set, or its missing videos.

    Writes ``{train,val,test}/*.mp4``, the annotation files ``{train,val,test}.json``, the boxes of
    what the sentences are about in ``{train,val,test}_boxes.json`` and, last, ``dataset.json``. The
    videos depend on ``seed`` and the settings of the data set alone, not on ``workers`` or
    interruptions.

    Args:
        data_set: What to render.
        out_dir: Folder of the data set.
        seed: Source of the split, the captions and the videos.
        num_train_videos: Videos of the training split.
        workers: Number of processes; by default one per CPU.
        progress: Called with the number of complete videos and of all videos.

    Raises:
        ValueError: If an argument is out of range or ``out_dir`` was rendered with other settings.
        OSError: If ``out_dir`` holds something else or cannot be written.
    """
    for name, value, lowest in (
        ('seed', seed, 0),
        ('num_train_videos', num_train_videos, 1),
        ('workers', workers, 1),
    ):
        if value is not None and value < lowest:
            raise ValueError(f'{name}={value}: expected a whole number of at least {lowest}')
    root = Path(out_dir)
    splits = data_set.plan_videos(seed, num_train_videos)
    videos = [video for split in splits.values() for video in split]
    num_videos = {split: len(planned) for split, planned in splits.items()}
    settings = {'name': data_set.name, 'version': data_set.version, 'seed': seed}
    settings |= {'videos': num_videos, **data_set.settings}
    with one_writer(root):
        folder = DatasetFolder(root, settings=settings, splits=splits)
        missing = [video for video in videos if not is_complete_mp4(root / video.name)]
        num_kept = len(videos) - len(missing)

        def report(num_rendered: int) -> None:
            if progress is not None:
                progress(num_kept + num_rendered, len(videos))

        report(0)
        if missing or not folder.is_closed:
            folder.open()
            _render(folder, missing, data_set.fps, workers, report)
            folder.close()
    return RenderSummary(num_videos, len(missing), num_kept)


def _render(
    folder: DatasetFolder,
    videos: list[Video],
    fps: int,
    workers: int | None,
    report: Callable[[int], None],
) -> None:
    num_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # a forked process must not wait for the threads of its parent
    try:
        results = map_in_workers(
            partial(_write_video, folder.root, folder.scratch, fps),
            videos,
            num_workers=workers,
            ordered=False,
        )
        with closing(results) as steps:
            for num_rendered, (video, result) in enumerate(steps, start=1):
                if isinstance(result, Failure):
                    raise RuntimeError(f'{video.name}: {result.reason}')
                report(num_rendered)
    finally:
        cv2.setNumThreads(num_threads)
        folder.drop_unfinished()


def _write_video(root: Path, scratch: Path, fps: int, video: Video) -> None:
    unfinished = scratch / f'{video.name.replace("/", "-")}.{os.getpid()}.mp4'
    unfinished.write_bytes(encode_mp4(video.draw(), fps=fps))
    # Not synced to the disk, which takes longer than the rendering: what a power cut leaves
    # incomplete is found by `is_complete_mp4` and rendered again.
    os.replace(unfinished, root / video.name)


class DatasetFolder:
    """A folder that is complete if, and only if, it holds ``dataset.json``.

    During rendering the same file is in ``.rendering/``, next to unfinished videos.

    Args:
        root: The folder; it exists.
        settings: What the data set is rendered with.
        splits: The videos of each split.

    Raises:
        FileExistsError: If ``root`` already holds something else.
        ValueError: If ``root`` was rendered with other settings.
    """

    def __init__(
        self, root: Path, *, settings: dict[str, Any], splits: dict[str, list[Video]]
    ) -> None:
        self.root = root
        self.scratch = root / _SCRATCH
        self._settings = settings
        self._annotations = {
            root / f'{split}.json': _as_json({video.name: video.annotation for video in videos})
            for split, videos in splits.items()
        }
        self._boxes = {root / f'{split}_boxes.json': videos for split, videos in splits.items()}
        manifests = [folder / _MANIFEST for folder in (self.root, self.scratch)]
        present = [manifest for manifest in manifests if manifest.exists()]
        for manifest in present:
            advice = 'choose another folder or remove this one'
            require_same_settings(manifest, settings, 'rendered', advice)
        ours = [*SPLITS, *(path.name for path in (*self._annotations, *self._boxes))]
        foreign = [name for name in ours if (self.root / name).exists()]
        if foreign and not present:
            raise FileExistsError(
                f'{self.root}: holds {foreign[0]!r} but no {_MANIFEST}, so it is not a '
                f'rendered data set; choose an empty folder'
            )

    @property
    def is_closed(self) -> bool:
        """Whether the settings, all annotation files and the boxes are in place."""
        return (
            (self.root / _MANIFEST).exists()
            and all(path.exists() for path in self._boxes)
            and all(
                path.exists() and path.read_text(encoding='utf-8') == text
                for path, text in self._annotations.items()
            )
        )

    def open(self) -> None:
        """Mark the folder as incomplete and remove unfinished videos of a killed rendering."""
        manifest = self.root / _MANIFEST
        self.scratch.mkdir(exist_ok=True)
        if manifest.exists():
            os.replace(manifest, self.scratch / _MANIFEST)
        else:
            write_text(self.scratch / _MANIFEST, _as_json(self._settings))
        self.drop_unfinished()
        for split in SPLITS:
            (self.root / split).mkdir(exist_ok=True)

    def drop_unfinished(self) -> None:
        """Remove the unfinished videos."""
        for video in self.scratch.glob('*.mp4'):
            video.unlink(missing_ok=True)

    def close(self) -> None:
        """Write the annotation files and the boxes, then mark the folder as complete."""
        for path, videos in self._boxes.items():
            boxes = {video.name: video.locate().tolist() for video in videos}
            write_text(path, json.dumps(boxes) + '\n')
        for path, text in self._annotations.items():
            write_text(path, text)
        os.replace(self.scratch / _MANIFEST, self.root / _MANIFEST)
        shutil.rmtree(self.scratch)


@contextmanager
def one_writer(root: Path) -> Iterator[None]:
    """Create the folder ``root`` and lock it, after waiting for another process that writes to it.

    Raises:
        NotADirectoryError: If ``root`` is a file.
    """
    if root.exists() and not root.is_dir():
        raise NotADirectoryError(f'{root}: expected a folder, found a file')
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / _LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        logger.warning('waiting for another rendering of %s', root)
        lock.acquire()
    except OSError:  # a file system without locks, or a complete folder that is read-only
        logger.warning('cannot lock %s; do not render it twice at the same time', root)
    try:
        yield
    finally:
        lock.release()


def _as_json(content: dict) -> str:
    return json.dumps(content, indent=1) + '\n'
