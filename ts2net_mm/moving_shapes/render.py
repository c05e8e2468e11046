"""Rendering of the whole data set."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2

from ..utils.workers import Failure, available_cpus, map_in_workers
from .folder import DatasetFolder, one_writer
from .mp4 import is_complete_mp4, write_mp4
from .plan import Video, plan_videos
from .scene import FPS

# To be raised whenever the same seed no longer gives the same videos or captions.
_VERSION = 2


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


def render_moving_shapes(
    out_dir: str | os.PathLike[str],
    *,
    seed: int = 0,
    num_train_videos: int = 2560,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RenderSummary:
    """Render the moving-shapes data set, or what is missing of it.

    Writes ``{train,val,test}/*.mp4``, the annotation files ``{train,val,test}.json`` and, last,
    ``dataset.json``. The videos depend on ``seed`` alone, not on ``workers`` or interruptions.

    Args:
        out_dir: Folder of the data set.
        seed: Source of the split, the captions and the videos.
        num_train_videos: Videos of the training split; 248 make one of each of its meanings.
        workers: Number of processes; by default one a CPU.
        progress: Called with the number of complete videos and of all videos.

    Raises:
        ValueError: If an argument is out of range or ``out_dir`` was rendered with other settings.
        OSError: If ``out_dir`` holds something else or cannot be written.
    """
    _check_at_least('seed', seed, 0)
    _check_at_least('num_train_videos', num_train_videos, 1)
    workers = available_cpus() if workers is None else workers
    _check_at_least('workers', workers, 1)
    root = Path(out_dir)
    splits = plan_videos(seed, num_train_videos)
    num_videos = {split: len(videos) for split, videos in splits.items()}
    settings = {'name': 'moving_shapes', 'version': _VERSION, 'seed': seed, 'videos': num_videos}
    annotations = {
        split: {video.name: video.annotation for video in videos}
        for split, videos in splits.items()
    }
    with one_writer(root):
        folder = DatasetFolder(root, settings=settings, annotations=annotations)
        all_videos = [video for videos in splits.values() for video in videos]
        missing = [video for video in all_videos if not is_complete_mp4(root / video.name)]
        num_kept = len(all_videos) - len(missing)

        def report(num_rendered: int) -> None:
            if progress is not None:
                progress(num_kept + num_rendered, len(all_videos))

        report(0)
        if missing or not folder.is_closed:
            folder.open()
            _render(folder, missing, workers, report)
            folder.close()
    return RenderSummary(num_videos, len(missing), num_kept)


def _render(
    folder: DatasetFolder, videos: list[Video], workers: int, report: Callable[[int], None]
) -> None:
    num_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # a forked process must not wait for the threads of its parent
    write = partial(_write_video, folder)
    try:
        results = map_in_workers(write, videos, num_workers=workers, ordered=False)
        with closing(results) as steps:
            for num_rendered, (video, result) in enumerate(steps, start=1):
                if isinstance(result, Failure):
                    raise RuntimeError(f'{video.name}: {result.reason}')
                report(num_rendered)
    finally:
        cv2.setNumThreads(num_threads)
        folder.drop_unfinished()


def _write_video(folder: DatasetFolder, video: Video) -> None:
    write_mp4(folder.root / video.name, video.draw(), fps=FPS, scratch=folder.scratch)


def _check_at_least(name: str, value: int, lowest: int) -> None:
    if value < lowest:
        raise ValueError(f'{name}={value}: expected a whole number of at least {lowest}')
