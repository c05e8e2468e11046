"""VATEX: ten-second videos of YouTube with ten English and ten Chinese captions each."""

from pathlib import Path
from typing import Any

from ..captions import CaptionTable
from ..reading import check_folder, describe_folder, read_id_list, read_json
from ..splits import Annotations, Published, Split, make_split

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
        drop_empty: Leave out empty captions instead of an error.
        language: 'en' or 'zh'; the released captions are English.
        second_test_list: Test on the videos of ``test1k5_sec_list.txt``.

    Raises:
        OSError: If files are missing or cannot be read.
        ValueError: If one is not what it should be; the message names the place.
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
        sources.append(folder / CAPTIONS)
        _read_released(folder / CAPTIONS, captions)
    else:
        sources += [path for paths in own.values() for path in paths]
        ids = {
            split: [one for path in paths for one in _read_own(path, captions, language)]
            for split, paths in own.items()
            if paths
        }
    notes = captions.check()
    if lists:
        splits = [
            make_split(split, path, read_id_list(path), captions, published=_published(path, split))
            for split, path in lists.items()
        ]
    else:
        splits = _own_splits(own, ids, captions)
        notes.append("VATEX's own split: there is no train_list.txt and test_list.txt")
    notes += [
        f'{name}.json is not written: there is no list of it'
        for name in LISTS
        if name not in {split.name for split in splits}
    ]
    disjoint = [('train', 'val'), ('train', 'test'), ('val', 'test')]
    if second_test_list:
        disjoint.remove(('val', 'test'))
        notes += _describe_shared(splits)
    return Annotations('VATEX', splits, disjoint, sources, notes)


def _published(path: Path, split: str) -> Published | None:
    return None if path.name == SECOND_TEST_LIST else PUBLISHED[split]


def _describe_shared(splits: list[Split]) -> list[str]:
    ids = {split.name: {clip.video_id for clip in split.clips} for split in splits}
    shared = len(ids.get('val', set()) & ids['test'])
    if not shared:
        return []
    return [f'{shared:,} videos of {SECOND_TEST_LIST} are in val.json too: choose nothing by val']


def _find_lists(folder: Path, second_test_list: bool) -> dict[str, Path]:
    """Lists that are there; none of them without training and test."""
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


def _read_released(path: Path, captions: CaptionTable) -> None:
    for video_id, value in read_json(path, dict).items():
        where = f'{path}: {video_id!r}'
        # others keep VATEX's own keys under each id
        sentences = _of_language(where, value, 'en') if isinstance(value, dict) else value
        _add_all(where, captions, video_id, sentences)


def _read_own(path: Path, captions: CaptionTable, language: str) -> list[str]:
    """Add the captions of one of VATEX's own files and list its videos."""
    ids = []
    for number, entry in enumerate(_own_entries(path)):
        where = f'{path}: entry {number}'
        if not isinstance(entry, dict) or not isinstance(entry.get('videoID'), str):
            raise ValueError(f'{where}: expected an object with videoID, found {entry!r:.80}')
        sentences = _of_language(f'{where} ({entry["videoID"]})', entry, language)
        if entry['videoID'] in captions:
            raise ValueError(f'{where}: {entry["videoID"]} is annotated a second time')
        _add_all(where, captions, entry['videoID'], sentences)
        ids.append(entry['videoID'])
    return ids


def _own_entries(path: Path) -> list[Any]:
    """Entries of a list, or of an object whose keys are the ids."""
    content = read_json(path, (list, dict))
    if isinstance(content, list):
        return content
    return [
        {'videoID': video_id, **entry} if isinstance(entry, dict) else entry
        for video_id, entry in content.items()
    ]


def _of_language(where: str, entry: dict, language: str) -> Any:
    if LANGUAGES[language] not in entry:
        raise ValueError(f'{where} has no {LANGUAGES[language]!r}, found {", ".join(entry)}')
    return entry[LANGUAGES[language]]


def _add_all(where: str, captions: CaptionTable, video_id: str, sentences: Any) -> None:
    if not isinstance(sentences, list):
        raise ValueError(f'{where}: expected a list of captions, found {sentences!r:.80}')
    for number, sentence in enumerate(sentences):
        captions.add(f'{where}, caption {number}', video_id, sentence)


def _own_splits(
    own: dict[str, list[Path]], ids: dict[str, list[str]], captions: CaptionTable
) -> list[Split]:
    return [
        make_split(split, own[split][0], listed, captions, published=OWN_PUBLISHED[split])
        for split, listed in ids.items()
    ]
