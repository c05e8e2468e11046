"""VATEX: ten-second videos of YouTube with ten English and ten Chinese captions each."""

from pathlib import Path
from typing import Any

from ..annotations import Annotations, CaptionTable, Published, make_split
from ..sources import check_folder, describe_folder, expect, read_id_list, read_json

__all__ = ['LANGUAGES', 'read_vatex']

CAPTIONS = 'ref_captions.json'
LISTS = {
    'train': ('train_list.txt',),
    'val': ('val_list.txt', 'validation_list.txt'),
    'test': ('test_list.txt',),
}
# another choice of 1,500 test videos, which shares some with the first one and with val
SECOND_TEST_LIST = 'test1k5_sec_list.txt'
# VATEX's own files: https://eric-xw.github.io/vatex-website/download.html
OWN_FILES = {
    'train': 'vatex_training*.json',
    'val': 'vatex_validation*.json',
    'test': 'vatex_public_test*.json',
}
LANGUAGES = {'en': 'enCap', 'zh': 'chCap'}

PAGE = 'github.com/danieljf24/hybrid_space, dataset/README.md'
PUBLISHED = {
    'train': Published(25_991, 259_910, PAGE),
    'val': Published(1500, 15_000, PAGE),
    'test': Published(1500, 15_000, PAGE),
}
# the split of VATEX itself, which the papers on retrieval do not use
OWN_PAGE = 'VATEX, arxiv.org/abs/1904.03493'
OWN_PUBLISHED = {
    'train': Published(25_991, 259_910, OWN_PAGE),
    'val': Published(3000, 30_000, OWN_PAGE),
    'test': Published(6000, 60_000, OWN_PAGE),
}


def read_vatex(
    folder: Path, *, drop_empty: bool = False, language: str = 'en', second_test_list: bool = False
) -> Annotations:
    """Read the lists of the retrieval split, or VATEX's own split where there are no lists.

    The captions are those of ``ref_captions.json``, or else of VATEX's own files.

    Args:
        folder: Holds the captions and the lists.
        drop_empty: Drop empty captions instead of an error.
        language: 'en' or 'zh'; the released captions are English.
        second_test_list: Test on the videos of ``test1k5_sec_list.txt``.

    Raises:
        OSError: If files are missing or cannot be read.
        ValueError: If the content is not as expected; the message names the place.
    """
    check_folder(folder, ())
    own = {split: sorted(folder.glob(pattern)) for split, pattern in OWN_FILES.items()}
    if language != 'en':
        own['test'] = []  # published in English only
    lists = _find_lists(folder, second_test_list)
    from_release = (folder / CAPTIONS).is_file() and language == 'en'
    if not (from_release and lists) and not any(own.values()):
        raise FileNotFoundError(
            f'{folder} holds no captions in {language!r}: expected {CAPTIONS} (English) with '
            f'train_list.txt and test_list.txt, or {", ".join(OWN_FILES.values())}; found: '
            f'{describe_folder(folder)}'
        )
    captions = CaptionTable(drop_empty=drop_empty)
    ids: dict[str, list[str]] = {}
    sources = list(lists.values())
    if from_release and lists:
        path = folder / CAPTIONS
        sources.append(path)
        for video_id, value in read_json(path, dict).items():
            where = f'{path}: {video_id!r}'
            # some copies keep VATEX's own keys under each id
            sentences = _of_language(where, value, 'en') if isinstance(value, dict) else value
            captions.add_all(where, video_id, sentences)
    else:
        sources += [path for paths in own.values() for path in paths]
        ids = {
            split: [one for path in paths for one in _read_own(path, captions, language)]
            for split, paths in own.items()
            if paths
        }
    notes = captions.check()
    splits = []
    if lists:
        for split, path in lists.items():
            published = None if path.name == SECOND_TEST_LIST else PUBLISHED[split]
            listed = read_id_list(path)
            splits.append(make_split(split, path, listed, captions, published=published))
    else:
        for split, listed in ids.items():
            path, published = own[split][0], OWN_PUBLISHED[split]
            splits.append(make_split(split, path, listed, captions, published=published))
        notes.append("VATEX's own split: there is no train_list.txt and test_list.txt")
    read = {split.name: split for split in splits}
    notes += [f'{name}.json is not written: it has no list' for name in LISTS if name not in read]
    disjoint = [('train', 'val'), ('train', 'test'), ('val', 'test')]
    if second_test_list:
        disjoint.remove(('val', 'test'))
        if 'val' in read and (shared := len(read['val'].ids & read['test'].ids)):
            notes.append(
                f'{shared:,} videos of {SECOND_TEST_LIST} are in val.json too: do not select '
                'models on val'
            )
    return Annotations('VATEX', splits, disjoint, sources, notes)


def _find_lists(folder: Path, second_test_list: bool) -> dict[str, Path]:
    """Find the lists; either training and test are among them or there is none."""
    if second_test_list:
        check_folder(folder, ('train_list.txt', SECOND_TEST_LIST))
    found = {
        split: folder / name
        for split, names in LISTS.items()
        for name in reversed(names)
        if (folder / name).is_file()
    }
    if second_test_list:
        found['test'] = folder / SECOND_TEST_LIST
    elif found:
        check_folder(folder, ('train_list.txt', 'test_list.txt'))
    return found


def _read_own(path: Path, captions: CaptionTable, language: str) -> list[str]:
    """Add the captions of one of VATEX's own files and list its videos."""
    content = read_json(path, (list, dict))
    if isinstance(content, dict):  # whose keys are the ids
        content = [
            {'videoID': video_id, **entry} if isinstance(entry, dict) else entry
            for video_id, entry in content.items()
        ]
    ids = []
    for number, entry in enumerate(content):
        where = f'{path}: entry {number}'
        has_id = isinstance(entry, dict) and isinstance(entry.get('videoID'), str)
        expect(has_id, where, 'an object with videoID', entry)
        video_id = entry['videoID']
        sentences = _of_language(f'{where} ({video_id})', entry, language)
        if video_id in captions:
            raise ValueError(f'{where}: {video_id} is annotated a second time')
        captions.add_all(where, video_id, sentences)
        ids.append(video_id)
    return ids


def _of_language(where: str, entry: dict, language: str) -> Any:
    if LANGUAGES[language] not in entry:
        raise ValueError(f'{where} has no {LANGUAGES[language]!r}, found {", ".join(entry)}')
    return entry[LANGUAGES[language]]
