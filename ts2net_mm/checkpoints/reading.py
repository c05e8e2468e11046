"""Read checkpoint files, and say in one line why one cannot be read."""

import re
from collections.abc import Mapping
from pathlib import Path

from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from .released import without_wrapper

__all__ = ['is_url', 'one_line', 'read_state_dict']


def read_state_dict(checkpoint: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint or plain state dict, without a parallel wrapper's prefix.

    Args:
        checkpoint: File or URL.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is no checkpoint; the message says what it seems to be.
    """
    checkpoint = str(checkpoint)
    if not is_url(checkpoint) and not Path(checkpoint).expanduser().is_file():
        raise FileNotFoundError(f'checkpoint {checkpoint} does not exist')
    try:
        content = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu', logger='silent')
    except Exception as error:  # torch raises a dozen types on a file of another kind
        raise ValueError(
            f'{checkpoint} is no checkpoint that torch can read: {_describe(checkpoint, error)}'
        ) from error
    state_dict = content.get('state_dict', content) if isinstance(content, Mapping) else content
    if not isinstance(state_dict, Mapping):
        raise ValueError(f'{checkpoint} holds a {type(content).__name__}, expected a state dict')
    strange = [key for key, value in state_dict.items() if not isinstance(value, Tensor)]
    if strange or not state_dict:
        raise ValueError(
            f'{checkpoint} holds no state dict: '
            + (f'the entries {_first(strange)} are no tensors' if strange else 'it is empty')
        )
    return without_wrapper(state_dict)


def _describe(checkpoint: str, error: Exception) -> str:
    """Say what the file seems to be."""
    path = Path(checkpoint).expanduser()
    if not path.is_file():
        return one_line(error)
    with path.open('rb') as file:
        start = file.read(64)
    if not start:
        return 'the file is empty'
    if start.lstrip()[:1] == b'<':
        return 'it starts like a web page (a download that failed?)'
    if start.startswith(b'version https://git-lfs'):
        return 'it is a Git LFS pointer; fetch the file itself'
    return one_line(error)


def is_url(checkpoint: str | Path) -> bool:
    """Tell whether a checkpoint lies on a server."""
    return re.match(r'\w{2,}://', str(checkpoint)) is not None


def one_line(error: BaseException) -> str:
    """Shorten an error to its type and first sentence."""
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    sentence = re.split(r'\n|\.\s', str(text).strip(), maxsplit=1)[0]
    return f'{type(error).__name__}: {sentence[:300]}'


def _first(keys: list, most: int = 10) -> str:
    more = f' and {len(keys) - most} more' if len(keys) > most else ''
    return ', '.join(str(key) for key in keys[:most]) + more
