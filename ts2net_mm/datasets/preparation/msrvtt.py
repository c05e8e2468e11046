"""MSR-VTT: 10,000 videos of YouTube with 20 captions each, and three ways to split them."""

from pathlib import Path
from typing import Any

from .captions import CaptionTable
from .reading import check_folder, read_columns, read_json
from .splits import Annotations, Published, Split, make_split

__all__ = ['read_msrvtt']

DATA = 'MSRVTT_data.json'
TRAIN_9K = 'MSRVTT_train.9k.csv'
TRAIN_7K = 'MSRVTT_train.7k.csv'
TEST_1KA = 'MSRVTT_JSFUSION_test.csv'

CE_PAGE = 'github.com/albanie/collaborative-experts, misc/datasets/msrvtt'
HYBRID_PAGE = 'github.com/danieljf24/hybrid_space, dataset/README.md'
PUBLISHED = {
    'train_9k': Published(9000, 180_000, f'{CE_PAGE}; 20 captions a video'),
    'train_7k': Published(7010, 140_200, HYBRID_PAGE),
    'test_1ka': Published(1000, 1000, HYBRID_PAGE),
    'test_full': Published(2990, 59_800, HYBRID_PAGE),
}


def read_msrvtt(folder: Path, *, drop_empty: bool = False) -> Annotations:
    """Read the training splits of 9,000 and 7,010 videos, the 1kA test and the full test.

    The 7k list may be missing. The videos of the full test are those with ``split: test``.

    Args:
        folder: Holds ``MSRVTT_data.json`` and the lists (.csv).
        drop_empty: Leave out empty captions instead of an error.

    Raises:
        OSError: If a file is missing or cannot be read.
        ValueError: If one is not what it should be; the message names the place.
    """
    check_folder(folder, (DATA, TRAIN_9K, TEST_1KA))
    data = read_json(folder / DATA, dict)
    captions = CaptionTable(drop_empty=drop_empty)
    for where, sentence in _entries(folder / DATA, data, 'sentences', ('video_id', 'caption')):
        captions.add(where, sentence['video_id'], sentence['caption'])
    notes = captions.check()
    sources = [folder / DATA, folder / TRAIN_9K, folder / TEST_1KA]
    splits = [_training_split('train_9k', folder / TRAIN_9K, captions)]
    if (folder / TRAIN_7K).is_file():
        sources.append(folder / TRAIN_7K)
        splits.append(_training_split('train_7k', folder / TRAIN_7K, captions))
    else:
        notes.append(f'train_7k.json is not written: {folder / TRAIN_7K} does not exist')
    splits.append(_one_to_one_test(folder / TEST_1KA, drop_empty, notes))
    if 'videos' in data:
        splits.append(_full_test(folder / DATA, data, captions))
    else:
        notes.append(f'test_full.json is not written: {folder / DATA} has no "videos"')
    return Annotations(
        'MSR-VTT',
        splits,
        [('train_9k', 'test_1ka'), ('train_7k', 'test_1ka'), ('train_7k', 'test_full')],
        sources,
        notes,
    )


def _entries(path: Path, data: dict, key: str, fields: tuple[str, ...]) -> list[tuple[str, Any]]:
    """Places and elements of a list inside the JSON."""
    if not isinstance(data.get(key), list) or not data[key]:
        raise ValueError(
            f'{path}: expected a list "{key}", found {data.get(key)!r:.80} under the keys '
            f'{", ".join(data)}'
        )
    entries = []
    for number, entry in enumerate(data[key]):
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


def _full_test(path: Path, data: dict, captions: CaptionTable) -> Split:
    videos = _entries(path, data, 'videos', ('video_id', 'split'))
    ids = [video['video_id'] for _, video in videos if video['split'] == 'test']
    if not ids:
        found = sorted({str(video['split']) for _, video in videos})
        raise ValueError(f'{path}: no video has "split": "test", found {", ".join(found)}')
    return make_split('test_full', path, ids, captions, published=PUBLISHED['test_full'])
