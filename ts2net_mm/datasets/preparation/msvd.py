"""MSVD: 1,970 short videos of YouTube with about 40 captions each."""

from pathlib import Path

from .captions import CaptionTable
from .pickles import load_plain_pickle
from .reading import check_folder, read_id_list
from .splits import Annotations, Published, make_split

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
    """Read the captions of ``raw-captions.pkl`` and the lists of training, validation and test.

    Args:
        folder: Holds them.
        drop_empty: Leave out empty captions instead of an error.

    Raises:
        OSError: If a file is missing or cannot be read.
        ValueError: If one is not what it should be; the message names the place.
    """
    lists = {split: folder / f'{split}_list.txt' for split in SPLITS}
    check_folder(folder, (CAPTIONS, *(path.name for path in lists.values())))
    captions = CaptionTable(drop_empty=drop_empty)
    _read_captions(folder / CAPTIONS, captions)
    notes = captions.check()
    splits = [
        make_split(split, path, read_id_list(path), captions, published=PUBLISHED[split])
        for split, path in lists.items()
    ]
    return Annotations(
        'MSVD',
        splits,
        [('train', 'val'), ('train', 'test'), ('val', 'test')],
        [folder / CAPTIONS, *lists.values()],
        notes,
    )


def _read_captions(path: Path, captions: CaptionTable) -> None:
    content = load_plain_pickle(path)
    if not isinstance(content, dict) or not content:
        raise ValueError(f'{path}: expected {{video id: [token list, ...]}}, found {content!r:.80}')
    for video_id, token_lists in content.items():
        if not isinstance(token_lists, list):
            raise ValueError(
                f'{path}: {video_id!r}: expected a list of token lists, found {token_lists!r:.80}'
            )
        for number, tokens in enumerate(token_lists):
            where = f'{path}: {video_id!r}, caption {number}'
            if isinstance(tokens, list):
                captions.add_joined(where, video_id, tokens)
            else:
                captions.add(where, video_id, tokens)
