"""Annotated videos whose files do not exist."""

import logging
import os.path as osp
from collections.abc import Mapping, Set
from typing import Literal

from mmengine.logging import print_log

from .annotation import VideoAnnotation, how_to_prepare

__all__ = ['OnMissing', 'leave_out_missing']

OnMissing = Literal['error', 'drop']
NAMED_FILES = 5


def leave_out_missing(
    annotations: list[VideoAnnotation],
    *,
    paths: Mapping[str, str],
    stored: Set[str] = frozenset(),
    ann_file: str,
    folder: str,
    on_missing: OnMissing,
) -> list[VideoAnnotation]:
    """Return the annotations of the videos that exist.

    Args:
        annotations: All of them.
        paths: File of each video id.
        stored: Video ids that need no file, because a frame store holds their frames.
        ann_file: Where they come from, for messages.
        folder: Where the files should be, for messages.
        on_missing: 'drop' leaves the others out with a warning, 'error' does not.

    Raises:
        FileNotFoundError: If files are missing that may not be, or all are.
    """
    missing = [
        a for a in annotations if a.video_id not in stored and not osp.exists(paths[a.video_id])
    ]
    if not missing:
        return annotations
    names = ', '.join(paths[a.video_id] for a in missing[:NAMED_FILES])
    report = (
        f'{ann_file}: {len(missing)} of {len(annotations)} video files are missing, '
        f'the first are {names}'
    )
    if len(missing) == len(annotations):
        raise FileNotFoundError(
            f'{report}; is {folder!r} the right folder?{how_to_prepare(folder)}'
        )
    if on_missing == 'error':
        raise FileNotFoundError(f"{report}; on_missing='drop' leaves missing videos out")
    print_log(f'{report}; they are left out', logger='current', level=logging.WARNING)
    gone = {a.video_id for a in missing}
    return [a for a in annotations if a.video_id not in gone]
