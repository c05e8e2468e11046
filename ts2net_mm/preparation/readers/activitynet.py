"""ActivityNet Captions: long videos of YouTube with a paragraph each."""

import math
from pathlib import Path

from ..annotations import Annotations, CaptionTable, Published, Split, make_split
from ..sources import check_folder, expect, read_json

__all__ = ['read_activitynet']

# ids of a split, its annotations, and the name of its file here
FILES = {'train': ('train_ids.json', 'train.json'), 'test': ('val_ids.json', 'val_1.json')}
# before the id of YouTube in the official files, and in some copies of the videos
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
        drop_empty: Drop empty paragraphs instead of an error.

    Raises:
        OSError: If a file is missing or cannot be read.
        ValueError: If the content is not as expected; the message names file and key.
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
        file_names=lambda video_id: (video_id, video_id.removeprefix(PREFIX)),
    )


def _read_split(name: str, ids: Path, data: Path, drop_empty: bool, notes: list[str]) -> Split:
    captions = CaptionTable(drop_empty=drop_empty)
    durations: dict[str, float] = {}
    content = read_json(data, dict)
    for video_id, entry in content.items():
        where = f'{data}: {video_id!r}'
        expect(isinstance(entry, dict), where, 'an object with duration and sentences', entry)
        duration = entry.get('duration')
        is_number = isinstance(duration, int | float) and not isinstance(duration, bool)
        is_length = is_number and 0 < duration < math.inf
        expect(is_length, f'{where}: duration', 'seconds above 0', duration)
        durations[video_id.strip()] = duration
        captions.add_joined(where, video_id, entry.get('sentences'))
    notes += captions.check()
    if ids.is_file():
        listed_in, listed = ids, read_json(ids, list)
        for number, video_id in enumerate(listed):
            is_id = isinstance(video_id, str) and video_id.strip()
            expect(is_id, f'{ids}: entry {number}', 'a video id', video_id)
    else:
        listed_in, listed = data, list(content)
        notes.append(f'{ids.name} is missing: the videos are those of {data.name}')
    return make_split(
        name,
        listed_in,
        (video_id.strip() for video_id in listed),
        captions,
        published=PUBLISHED[name],
        times=lambda video_id: (0, durations[video_id]),
    )
