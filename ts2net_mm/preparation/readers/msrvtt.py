"""MSR-VTT: 10,000 videos of YouTube with 20 captions each, and three ways to split them."""

import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from ..captions import CaptionTable
from ..reading import check_folder, describe_folder, read_columns, read_json
from ..splits import Annotations, Published, Split, make_split

__all__ = ['SPLITS', 'read_msrvtt']

DATA = 'MSRVTT_data.json'
# as the authors of MSR-VTT published the same, each also in a zip
PARTS = ('train_val_videodatainfo.json', 'test_videodatainfo.json')
LISTS = {
    'train_9k': 'MSRVTT_train.9k.csv',
    'train_7k': 'MSRVTT_train.7k.csv',
    'test_1ka': 'MSRVTT_JSFUSION_test.csv',
}
SPLITS = (*LISTS, 'test_full')

CE_PAGE = 'github.com/albanie/collaborative-experts, misc/datasets/msrvtt'
HYBRID_PAGE = 'github.com/danieljf24/hybrid_space, dataset/README.md'
PUBLISHED = {
    'train_9k': Published(9000, 180_000, f'{CE_PAGE}; 20 captions a video'),
    'train_7k': Published(7010, 140_200, HYBRID_PAGE),
    'test_1ka': Published(1000, 1000, HYBRID_PAGE),
    'test_full': Published(2990, 59_800, HYBRID_PAGE),
}


def read_msrvtt(
    folder: Path, *, drop_empty: bool = False, splits: Collection[str] = ()
) -> Annotations:
    """Read the training splits of 9,000 and 7,010 videos, the 1kA test and the full test.

    The videos of the full test are those with ``split: test``; the sentences of 1kA stand in its
    list.

    Args:
        folder: Holds ``MSRVTT_data.json`` or the two files of MSR-VTT's authors, and the lists
            (.csv).
        drop_empty: Leave out empty captions instead of an error.
        splits: Names from ``SPLITS``; only their files are needed then. By default all are read,
            and what the 7k split and the full test need may be missing.

    Raises:
        OSError: If a file is missing or cannot be read.
        ValueError: If one is not what it should be; the message names the place.
    """
    wanted = [name for name in SPLITS if not splits or name in splits]
    needed = wanted if splits else ['train_9k', 'test_1ka']
    check_folder(folder, [LISTS[name] for name in needed if name in LISTS])
    notes: list[str] = []
    captions = CaptionTable(drop_empty=drop_empty)
    files: list[Path] = []
    test_ids: list[str] = []
    if wanted != ['test_1ka']:
        files, test_ids = _read_data(folder, captions, notes)
    read = []
    for name in wanted:
        path = folder / LISTS[name] if name in LISTS else files[-1]
        if name == 'test_full' and test_ids:
            read.append(make_split(name, path, test_ids, captions, published=PUBLISHED[name]))
        elif name == 'test_full':
            problem = f'no video of {", ".join(map(str, files))} has "split": "test"'
            if name in needed:
                raise ValueError(problem)
            notes.append(f'{name}.json is not written: {problem}')
        elif not path.is_file():
            notes.append(f'{name}.json is not written: {path} does not exist')
        elif name == 'test_1ka':
            read.append(_one_to_one_test(path, drop_empty, notes))
        else:
            read.append(_training_split(name, path, captions))
    lists = [folder / LISTS[split.name] for split in read if split.name in LISTS]
    return Annotations(
        'MSR-VTT',
        read,
        [('train_9k', 'test_1ka'), ('train_7k', 'test_1ka'), ('train_7k', 'test_full')],
        [*files, *lists],
        notes,
    )


def _read_data(
    folder: Path, captions: CaptionTable, notes: list[str]
) -> tuple[list[Path], list[str]]:
    """Collect the sentences; return the files that were read and the ids of the full test."""
    found = dict(_find_data(folder))
    if not found:
        raise FileNotFoundError(
            f'{folder} lacks {DATA}; expected: {DATA}, or {" and ".join(PARTS)}, or zips of those; '
            f'found: {describe_folder(folder)}'
        )
    if absent := [name for name in PARTS if DATA not in found and name not in found]:
        notes.append(f'{absent[0]} is not there: its videos have no captions')
    contents = {path: read_json(path, dict) for path, _ in found.values()}
    if not any('sentences' in content for content in contents.values()):
        path, content = next(iter(contents.items()))
        raise ValueError(
            f'{path}: expected a list "sentences", found the keys {", ".join(content)}'
        )
    test_ids = []
    for path, content in contents.items():
        for where, one in _entries(path, content, 'sentences', ('video_id', 'caption')):
            captions.add(where, one['video_id'], one['caption'])
        for _, one in _entries(path, content, 'videos', ('video_id', 'split')):
            if one['split'] == 'test':
                test_ids.append(one['video_id'])
    notes += captions.check()
    return [file for _, file in found.values()], test_ids


def _find_data(folder: Path) -> Iterator[tuple[str, tuple[Any, Path]]]:
    """Yield the name of each file with sentences, what to read, and the file on the disk."""
    if (folder / DATA).is_file():
        yield DATA, (folder / DATA, folder / DATA)
        return
    zips = [path for path in sorted(folder.glob('*.zip')) if zipfile.is_zipfile(path)]
    for name in PARTS:
        if (folder / name).is_file():
            yield name, (folder / name, folder / name)
            continue
        for path in zips:
            members = [one for one in zipfile.ZipFile(path).namelist() if _is_named(one, name)]
            if members:
                yield name, (zipfile.Path(path, members[0]), path)
                break


def _is_named(member: str, name: str) -> bool:
    # a Mac adds a "__MACOSX/._name" for each file
    return member.split('/')[-1] == name and not member.startswith('__MACOSX/')


def _entries(path: Any, data: dict, key: str, fields: tuple[str, ...]) -> list[tuple[str, Any]]:
    """Places and elements of a list inside the JSON; none if the key is missing."""
    if key in data and (not isinstance(data[key], list) or not data[key]):
        raise ValueError(f'{path}: expected a list "{key}", found {data[key]!r:.80}')
    entries = []
    for number, entry in enumerate(data.get(key, ())):
        where = f'{path}: {key}[{number}]'
        if not isinstance(entry, dict) or any(field not in entry for field in fields):
            raise ValueError(
                f'{where}: expected an object with {", ".join(fields)}, found {entry!r:.80}'
            )
        if not isinstance(entry['video_id'], str):
            raise ValueError(f'{where}: expected a video id, found {entry["video_id"]!r:.80}')
        entries.append((where, entry))
    return entries


def _training_split(name: str, path: Path, captions: CaptionTable) -> Split:
    ids = []
    for where, (video_id,) in read_columns(path, ['video_id']):
        if not video_id.strip():
            raise ValueError(f'{where}: expected a video id, found nothing')
        ids.append(video_id.strip())
    if not ids:
        raise ValueError(f'{path} lists no videos')
    return make_split(name, path, ids, captions, published=PUBLISHED[name])


def _one_to_one_test(path: Path, drop_empty: bool, notes: list[str]) -> Split:
    """One sentence a video, which stands in the list itself."""
    captions = CaptionTable(drop_empty=drop_empty)
    first_places: dict[str, str] = {}
    for where, (video_id, sentence) in read_columns(path, ['video_id', 'sentence']):
        if (first := first_places.setdefault(video_id, where)) != where:
            raise ValueError(f'{where}: {video_id} has a sentence already, at {first}')
        captions.add(where, video_id, sentence)
    notes += captions.check()
    if not first_places:
        raise ValueError(f'{path} lists no videos')
    return make_split('test_1ka', path, first_places, captions, published=PUBLISHED['test_1ka'])
