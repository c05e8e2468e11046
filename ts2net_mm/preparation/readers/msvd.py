"""MSVD: 1,970 short videos of YouTube with about 40 captions each."""

from pathlib import Path

from ..captions import CaptionTable
from ..pickles import load_plain_pickle
from ..reading import check_folder, describe_folder, read_id_list, read_json
from ..splits import Annotations, Published, make_split

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
        drop_empty: Leave out empty captions instead of an error.

    Raises:
        OSError: If a file is missing or cannot be read.
        ValueError: If one is not what it should be; the message names the place.
    """
    lists = {split: folder / f'{split}_list.txt' for split in SPLITS}
    check_folder(folder, [path.name for path in lists.values()])
    source = _find_captions(folder)
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


def _find_captions(folder: Path) -> Path:
    """The pickle, or else the only JSON file."""
    if (folder / CAPTIONS).is_file():
        return folder / CAPTIONS
    found = sorted(folder.glob('*.json'))
    if len(found) != 1:
        raise FileNotFoundError(
            f'{folder} lacks {CAPTIONS}; expected: that, or one .json with the sentences of each '
            f'video; found: {describe_folder(folder)}'
        )
    return found[0]


def _read_captions(path: Path, captions: CaptionTable) -> None:
    content = read_json(path, dict) if path.suffix == '.json' else load_plain_pickle(path)
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
