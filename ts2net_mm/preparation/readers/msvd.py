"""MSVD: 1,970 short videos of YouTube with about 40 captions each."""

from pathlib import Path

from ..annotations import Annotations, CaptionTable, Published, make_split
from ..sources import (
    check_folder,
    describe_folder,
    expect,
    load_plain_pickle,
    read_id_list,
    read_json,
)

__all__ = ['read_msvd']

CAPTIONS = 'raw-captions.pkl'
SPLITS = ('train', 'val', 'test')

PAGE = 'huggingface.co/datasets/VLM2Vec/MSVD'
PUBLISHED = {
    'train': Published(1200, 48_774, PAGE),
    'val': Published(100, 4290, PAGE),
    'test': Published(670, 27_763, PAGE),
}


def read_msvd(folder: Path, *, drop_empty: bool = False) -> Annotations:
    """Read the captions and the lists of training, validation and test.

    Args:
        folder: Holds the lists, and ``raw-captions.pkl`` or one JSON file
            ``{video id: [sentence, ...]}`` of any name.
        drop_empty: Drop empty captions instead of an error.

    Raises:
        OSError: If a file is missing or cannot be read.
        ValueError: If the content is not as expected; the message names the place.
    """
    lists = {split: folder / f'{split}_list.txt' for split in SPLITS}
    check_folder(folder, [path.name for path in lists.values()])
    source = folder / CAPTIONS
    if not source.is_file():
        found = sorted(folder.glob('*.json'))
        if len(found) != 1:
            raise FileNotFoundError(
                f'{folder} lacks {CAPTIONS}; expected: that, or one .json with the sentences of '
                f'each video; found: {describe_folder(folder)}'
            )
        source = found[0]
    captions = CaptionTable(drop_empty=drop_empty)
    _read_captions(source, captions)
    notes = captions.check()
    splits = [
        make_split(split, path, read_id_list(path), captions, published=PUBLISHED[split])
        for split, path in lists.items()
    ]
    return Annotations(
        'MSVD',
        splits,
        [('train', 'val'), ('train', 'test'), ('val', 'test')],
        [source, *lists.values()],
        notes,
    )


def _read_captions(path: Path, captions: CaptionTable) -> None:
    content = read_json(path, dict) if path.suffix == '.json' else load_plain_pickle(path)
    is_table = isinstance(content, dict) and content
    expect(is_table, path, '{video id: [token list, ...]}', content)
    for video_id, token_lists in content.items():
        where = f'{path}: {video_id!r}'
        expect(isinstance(token_lists, list), where, 'a list of token lists', token_lists)
        for number, tokens in enumerate(token_lists):
            add = captions.add_joined if isinstance(tokens, list) else captions.add
            add(f'{where}, caption {number}', video_id, tokens)
