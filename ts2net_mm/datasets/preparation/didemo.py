"""DiDeMo: personal videos of Flickr, with sentences about moments in their first 30 seconds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .captions import CaptionTable
from .reading import check_folder, read_id_list, read_json
from .splits import Annotations, Published, Split, make_split
from .videos import without_extension

__all__ = ['read_didemo']

SPLITS = ('train', 'val', 'test')
# Annotators saw the first 30 seconds; the released loader reads up to second 31.
END = 31

PAGE = 'github.com/albanie/collaborative-experts, misc/datasets/didemo'
PUBLISHED = {
    'train': Published(8392, 8392, PAGE),
    'val': Published(1065, 1065, PAGE),
    'test': Published(1004, 1004, PAGE),
}


def read_didemo(folder: Path, *, drop_empty: bool = False) -> Annotations:
    """Read training, validation and test.

    All descriptions of a video are joined to one paragraph in the order of the file, and its
    frames are taken from the first 31 seconds.

    Args:
        folder: Holds ``{train,val,test}_list.txt`` and ``{train,val,test}_data.json``.
        drop_empty: Leave out empty paragraphs instead of an error.

    Raises:
        OSError: If a file is missing or cannot be read.
        ValueError: If one is not what it should be; the message names the place.
    """
    lists = {split: folder / f'{split}_list.txt' for split in SPLITS}
    data = {split: folder / f'{split}_data.json' for split in SPLITS}
    sources = [*lists.values(), *data.values()]
    check_folder(folder, [path.name for path in sources])
    notes: list[str] = []
    splits = [_read_split(split, lists[split], data[split], drop_empty, notes) for split in SPLITS]
    return Annotations(
        'DiDeMo', splits, [('train', 'val'), ('train', 'test'), ('val', 'test')], sources, notes
    )


def _read_split(name: str, listed: Path, data: Path, drop_empty: bool, notes: list[str]) -> Split:
    descriptions: dict[str, list[Any]] = {}
    for number, entry in enumerate(read_json(data, list)):
        where = f'{data}: entry {number}'
        if not isinstance(entry, Mapping) or not {'video', 'description'} <= entry.keys():
            raise ValueError(
                f'{where}: expected an object with video and description, found {entry!r:.80}'
            )
        if not isinstance(entry['video'], str) or not entry['video'].strip():
            raise ValueError(f'{where}: expected a video name, found {entry["video"]!r:.80}')
        # lists name the videos with their extension or without it
        descriptions.setdefault(_key(entry['video']), []).append(entry['description'])
    ids = read_id_list(listed)
    listed_as = {_key(video_id): video_id for video_id in ids}
    captions = CaptionTable(drop_empty=drop_empty)
    for key, parts in descriptions.items():
        captions.add_joined(f'{data}: {key!r}', listed_as.get(key, key), parts)
    notes += captions.check()
    return make_split(
        name,
        listed,
        ids,
        captions,
        published=PUBLISHED[name],
        start=0,
        ends=lambda video_id: END,
    )


def _key(video: str) -> str:
    return without_extension(video.strip())
