"""LSMDC: short clips of 202 films with the sentences of their audio description."""

from pathlib import Path

from ..annotations import Annotations, CaptionTable, Published, Split, make_split
from ..sources import check_folder, expect, read_lines

__all__ = ['read_lsmdc']

FILES = {
    'train': 'LSMDC16_annos_training.csv',
    'val': 'LSMDC16_annos_val.csv',
    'test': 'LSMDC16_challenge_1000_publictect.csv',
}
COLUMNS = 'clip id, start aligned, end aligned, start extracted, end extracted, sentence'
NUM_COLUMNS = 6

CE_PAGE = 'github.com/albanie/collaborative-experts, misc/datasets/lsmdc'
PUBLISHED = {
    # that page says videos and counts the rows of the file, which repeat clip ids
    'train': Published(None, 101_079, CE_PAGE),
    'val': Published(None, 7408, 'CLIP4Clip, arxiv.org/abs/2104.08860'),
    'test': Published(1000, 1000, CE_PAGE),
}


def read_lsmdc(folder: Path, *, drop_empty: bool = False) -> Annotations:
    """Read the rows of training, validation and the test of 1,000 clips.

    Rows of one clip become captions of one video, so there are as many training items as rows.
    The times of a row tell where the clip was cut from its film: a clip is used whole.

    Args:
        folder: Holds the three files.
        drop_empty: Drop empty captions instead of an error.

    Raises:
        OSError: If a file is missing or cannot be read.
        ValueError: If a row is not as expected, or the test repeats a clip; the message names file
            and line.
    """
    check_folder(folder, tuple(FILES.values()))
    notes: list[str] = []
    splits = [_read_split(name, folder / file, drop_empty, notes) for name, file in FILES.items()]
    return Annotations(
        'LSMDC',
        splits,
        [('train', 'val'), ('train', 'test'), ('val', 'test')],
        [folder / file for file in FILES.values()],
        notes,
    )


def _read_split(name: str, path: Path, drop_empty: bool, notes: list[str]) -> Split:
    captions = CaptionTable(drop_empty=drop_empty)
    first_places: dict[str, str] = {}
    # not csv, which takes a quotation mark in a sentence for a delimiter
    for where, line in read_lines(path):
        columns = line.split('\t')
        expected = f'{NUM_COLUMNS} columns separated by tabs ({COLUMNS})'
        expect(len(columns) == NUM_COLUMNS, where, expected, line)
        clip_id, sentence = columns[0].strip(), columns[-1]
        captions.add(where, clip_id, sentence)
        first = first_places.setdefault(clip_id, where)
        if name == 'test' and first != where:
            raise ValueError(f'{where}: {clip_id} has a sentence already, at {first}')
    notes += captions.check()
    split = make_split(name, path, first_places, captions, published=PUBLISHED[name])
    if repeated := sum(len(clip.captions) > 1 for clip in split.clips):
        notes.append(f'{path.name}: {repeated:,} clips have several rows, each a caption')
    return split
