"""Read pickles of plain values without running any code."""

import pickle
from pathlib import Path
from typing import Any

__all__ = ['load_plain_pickle']


class _PlainUnpickler(pickle.Unpickler):
    """Makes lists, tuples, dicts, sets, strings and numbers, and nothing else.

    Everything else, functions to call included, has to be looked up by name first, and that is
    refused here.
    """

    def find_class(self, module: str, name: str) -> Any:
        raise _NotPlainError(f'{module}.{name}')


class _NotPlainError(Exception):
    """A pickle names a class or function."""


def load_plain_pickle(path: Path) -> Any:
    """Read containers of strings and numbers; strings of Python 2 become str.

    Raises:
        ValueError: If the file is no pickle or holds anything else.
    """
    with path.open('rb') as file:
        try:
            content = _PlainUnpickler(file, encoding='bytes').load()
        except _NotPlainError as error:
            raise ValueError(
                f'{path} refers to {error}; only lists, dicts and strings are read, because '
                'unpickling others can run any code'
            ) from error
        # what a damaged pickle raises is not limited to UnpicklingError
        except Exception as error:
            raise ValueError(
                f'{path} is no pickle that can be read: {type(error).__name__}'
            ) from error
    return _decode(content)


def _decode(value: Any) -> Any:
    """Turn byte strings, which is what Python 2 wrote for text, into str."""
    if isinstance(value, bytes):
        try:
            return value.decode('utf-8')
        except UnicodeDecodeError:
            return value.decode('latin-1')
    if isinstance(value, dict):
        return {_decode(key): _decode(element) for key, element in value.items()}
    if isinstance(value, list | tuple):
        return [_decode(element) for element in value]
    return value
