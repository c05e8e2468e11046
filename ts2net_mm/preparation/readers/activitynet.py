"""ActivityNet Captions: long videos of YouTube with a paragraph each."""

import math
from pathlib import Path
from typing import Any

from ..captions import CaptionTable
from ..reading import check_folder, read_json
from ..splits import Annotations, Published, Split, make_split

__all__ = ['read_activitynet']

# ids of a split, its annotations, and the name of its file here
FILES = {'train': ('train_ids.json', 'train.json'), 'test': ('val_ids.json', 'val_1.json')}
# stands before the id of YouTube in the official files, and in some copies of the videos
PREFIX = 'v_'

PAGE = 'github.com/albanie/collaborative-experts, misc/datasets/activity-net'
PUBLISHED = {'train': Published(10_009, 10_009, PAGE), 'test': Published(4917, 4917, PAGE)}


def read_activitynet(folder: Path, *, drop_empty: bool = False) -> Annotations:
    """Read the training split and ``val_1``, on which retrieval is tested.

    All sentences of a video are joined to one paragraph, and its frames are taken from 0 to its
    duration.

    Args:
        folder: Holds ``train.json`` and ``val_1.json``. The lists ``{train,val}_ids.json`` may be
            missing: the keys of the former are the same ids.
        drop_empty: Leave out empty paragraphs instead of an error.

    Raises:
        OSError: If a file is missing or cannot be read.
        ValueError: If one is not what it should be; the message names file and key.
    """
    check_folder(folder, [data for _, data in FILES.values()])
    names = [name for pair in FILES.values() for name in pair if (folder / name).is_file()]
    notes: list[str] = []
    splits = [
        _read_split(split, folder / ids, folder / data, drop_empty, notes)
        for split, (ids, data) in FILES.items()
    ]
    return Annotations(
        'ActivityNet Captions',
        splits,
        [('train', 'test')],
        [folder / name for name in names],
        notes,
        _file_names,
    )


def _file_names(video_id: str) -> tuple[str, ...]:
    """Both names under which people have a video."""
    return (video_id, video_id.removeprefix(PREFIX))


def _read_split(name: str, ids: Path, data: Path, drop_empty: bool, notes: list[str]) -> Split:
    captions = CaptionTable(drop_empty=drop_empty)
    durations: dict[str, float] = {}
    content = read_json(data, dict)
    for video_id, entry in content.items():
        where = f'{data}: {video_id!r}'
        durations[video_id.strip()] = _duration(where, entry)
        if not isinstance(entry.get('sentences'), list):
            raise ValueError(
                f'{where}: expected a list of sentences, found {entry.get("sentences")!r:.80}'
            )
        captions.add_joined(where, video_id, entry['sentences'])
    notes += captions.check()
    if ids.is_file():
        listed_in, listed = ids, read_json(ids, list)
        for number, video_id in enumerate(listed):
            if not isinstance(video_id, str) or not video_id.strip():
                raise ValueError(f'{ids}: entry {number} is {video_id!r:.80}, expected a video id')
    else:
        listed_in, listed = data, list(content)
        notes.append(f'{ids.name} is not there: the videos are those of {data.name}')
    return make_split(
        name,
        listed_in,
        (video_id.strip() for video_id in listed),
        captions,
        published=PUBLISHED[name],
        start=0,
        ends=durations.__getitem__,
    )


def _duration(where: str, entry: Any) -> float:
    if not isinstance(entry, dict):
        raise ValueError(
            f'{where}: expected an object with duration and sentences, found {entry!r:.80}'
        )
    duration = entry.get('duration')
    if (
        isinstance(duration, bool)
        or not isinstance(duration, int | float)
        or not 0 < duration < math.inf
    ):
        raise ValueError(f'{where}: duration is {duration!r}, expected seconds above 0')
    return duration
