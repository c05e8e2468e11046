"""DiDeMo: personal videos of Flickr, with sentences about moments in their first 30 seconds."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..annotations import Annotations, CaptionTable, Published, Split, make_split
from ..prepare import without_extension
from ..sources import check_folder, expect, read_id_list, read_json

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
    frames are taken from the first 31 seconds. A listed video is matched by its full name, as in
    the released loader; without its extension only where that leaves one video.

    Args:
        folder: Holds ``{train,val,test}_list.txt`` and ``{train,val,test}_data.json``.
        drop_empty: Drop empty paragraphs instead of an error.

    Raises:
        OSError: If a file is missing or cannot be read.
        ValueError: If the content is not as expected; the message names the place.
    """
    lists = {split: folder / f'{split}_list.txt' for split in SPLITS}
    data = {split: folder / f'{split}_data.json' for split in SPLITS}
    sources = [*lists.values(), *data.values()]
    check_folder(folder, [path.name for path in sources])
    notes: list[str] = []
    others: set[str] = set()
    splits = [
        _read_split(split, lists[split], data[split], drop_empty, notes, others) for split in SPLITS
    ]
    return Annotations(
        'DiDeMo',
        splits,
        [('train', 'val'), ('train', 'test'), ('val', 'test')],
        sources,
        notes,
        other_names=frozenset(others.difference(*(split.ids for split in splits))),
    )


def _read_split(
    name: str, listed: Path, data: Path, drop_empty: bool, notes: list[str], others: set[str]
) -> Split:
    descriptions = _read_descriptions(data)
    ids = read_id_list(listed)
    named_as = _match_names(ids, descriptions)
    captions = CaptionTable(drop_empty=drop_empty)
    for video_id, described in named_as.items():
        captions.add_joined(f'{data}: {described!r}', video_id, descriptions[described])
    notes += captions.check()
    unlisted = descriptions.keys() - set(named_as.values())
    others |= unlisted
    if unlisted:
        stems = {without_extension(video_id) for video_id in ids}
        twins = sum(without_extension(video) in stems for video in unlisted)
        notes.append(
            f'{data.name}: {len(unlisted):,} videos are not in {listed.name}, so their '
            f'descriptions are not used; {twins:,} of them differ from a listed one only in the '
            'extension'
        )
    return make_split(
        name, listed, ids, captions, published=PUBLISHED[name], times=lambda video_id: (0, END)
    )


def _read_descriptions(data: Path) -> dict[str, list[Any]]:
    """Sentences by the full name of their video, in the order of the file."""
    descriptions: dict[str, list[Any]] = {}
    for number, entry in enumerate(read_json(data, list)):
        where = f'{data}: entry {number}'
        is_described = isinstance(entry, Mapping) and {'video', 'description'} <= entry.keys()
        expect(is_described, where, 'an object with video and description', entry)
        video = entry['video']
        expect(isinstance(video, str) and video.strip(), where, 'a video name', video)
        descriptions.setdefault(video.strip(), []).append(entry['description'])
    return descriptions


def _match_names(ids: Sequence[str], described: Iterable[str]) -> dict[str, str]:
    """Find the described video of each id: by its full name, or else without the extension.

    Some described videos differ in the extension only, so the latter counts only where a single
    name and a single id are left.
    """
    rest = set(described)
    matched = {video_id: video_id for video_id in dict.fromkeys(ids) if video_id in rest}
    rest -= matched.keys()
    names: dict[str, list[str]] = {}
    for name in sorted(rest):
        names.setdefault(without_extension(name), []).append(name)
    left = Counter(without_extension(one) for one in dict.fromkeys(ids))
    for video_id in ids:
        stem = without_extension(video_id)
        if video_id not in matched and left[stem] == 1 and len(names.get(stem, ())) == 1:
            matched[video_id] = names[stem][0]
    return matched
