"""MSR-VTT: 10,000 videos of YouTube with 20 captions each, and three ways to split them."""

import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from ..annotations import Annotations, CaptionTable, Published, Split, make_split
from ..sources import check_folder, describe_folder, expect, read_json, read_table

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

    The videos of the full test are those with ``split: test``; the list of 1kA holds its own
    sentences.

    Args:
        folder: Holds ``MSRVTT_data.json`` or the two files of MSR-VTT's authors, and the lists
            (.csv).
        drop_empty: Drop empty captions instead of an error.
        splits: Names from ``SPLITS``; only their files are needed then. By default all are read,
            and what the 7k split and the full test need may be missing.

    Raises:
        OSError: If a file is missing or cannot be read.
        ValueError: If the content is not as expected; the message names the place.
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
        notes.append(f'{absent[0]} is missing: its videos have no captions')
    contents = {path: read_json(path, dict) for path, _ in found.values()}
    has_sentences = any('sentences' in content for content in contents.values())
    path, content = next(iter(contents.items()))
    expect(has_sentences, path, 'a list "sentences"', list(content))
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
            members = [
                member
                for member in zipfile.ZipFile(path).namelist()
                # a Mac adds a "__MACOSX/._name" for each file
                if member.split('/')[-1] == name and not member.startswith('__MACOSX/')
            ]
            if members:
                yield name, (zipfile.Path(path, members[0]), path)
                break


def _entries(path: Any, data: dict, key: str, fields: tuple[str, ...]) -> list[tuple[str, Any]]:
    """Places and elements of a list inside the JSON; none if the key is missing."""
    if key not in data:
        return []
    expect(isinstance(data[key], list) and data[key], path, f'a list "{key}"', data[key])
    entries = []
    for number, entry in enumerate(data[key]):
        where = f'{path}: {key}[{number}]'
        has_fields = isinstance(entry, dict) and all(field in entry for field in fields)
        expect(has_fields, where, f'an object with {", ".join(fields)}', entry)
        expect(isinstance(entry['video_id'], str), where, 'a video id', entry['video_id'])
        entries.append((where, entry))
    return entries


def _training_split(name: str, path: Path, captions: CaptionTable) -> Split:
    ids = []
    for where, row in read_table(path, ['video_id']):
        expect(row['video_id'].strip(), where, 'a video id', row['video_id'])
        ids.append(row['video_id'].strip())
    return make_split(name, path, ids, captions, published=PUBLISHED[name])


def _one_to_one_test(path: Path, drop_empty: bool, notes: list[str]) -> Split:
    """One sentence per video, from the list itself."""
    captions = CaptionTable(drop_empty=drop_empty)
    first_places: dict[str, str] = {}
    for where, row in read_table(path, ['video_id', 'sentence']):
        video_id = row['video_id'].strip()
        if (first := first_places.setdefault(video_id, where)) != where:
            raise ValueError(f'{where}: {video_id} has a sentence already, at {first}')
        captions.add(where, video_id, row['sentence'])
    notes += captions.check()
    return make_split('test_1ka', path, first_places, captions, published=PUBLISHED['test_1ka'])
