"""Read official files as they are found: with a BOM, Windows line ends, and mistakes."""

import csv
import json
import pickle
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

__all__ = [
    'check_folder',
    'describe_folder',
    'expect',
    'load_plain_pickle',
    'read_id_list',
    'read_json',
    'read_json_lines',
    'read_lines',
    'read_table',
]

NAMED_FILES = 10
DELIMITERS = (',', ';', '\t')  # between the columns of a table


def expect(ok: object, where: str | Path, expected: str, found: Any) -> None:
    """Raise a ValueError that names the place, what is expected there, and what was found."""
    if not ok:
        raise ValueError(f'{where}: expected {expected}, found {found!r:.80}')


def check_folder(folder: Path, expected: Sequence[str]) -> None:
    """Check that a folder holds the expected files.

    Raises:
        FileNotFoundError: If the folder or a file is missing; the message names what was expected
            and what is there.
        NotADirectoryError: If it is a file.
    """
    if not folder.exists():
        raise FileNotFoundError(f'annotation folder {folder} does not exist')
    if not folder.is_dir():
        raise NotADirectoryError(f'{folder} is a file, expected a folder of annotations')
    missing = [name for name in expected if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f'{folder} lacks {", ".join(missing)}; expected: {", ".join(expected)}; found: '
            f'{describe_folder(folder)}'
        )


def describe_folder(folder: Path) -> str:
    """Name the first files of a folder."""
    names = sorted(path.name + '/' * path.is_dir() for path in folder.iterdir())
    shown = ', '.join(names[:NAMED_FILES]) or 'nothing'
    return shown + (f' and {len(names) - NAMED_FILES} more' if len(names) > NAMED_FILES else '')


def read_text(path: Path) -> str:
    """Read UTF-8, with or without BOM, with line ends of any system."""
    content = path.read_bytes()
    try:
        text = content.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = content.count(b'\n', 0, error.start) + 1
        raise ValueError(f'{path}:{line}: not valid UTF-8 (byte {error.start})') from error
    return text.replace('\r\n', '\n').replace('\r', '\n')


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield place and text of each line that is not blank; the place reads ``file:line``."""
    # not splitlines(), which also splits at separators that occur inside captions
    for number, line in enumerate(read_text(path).split('\n'), start=1):
        if line.strip():
            yield f'{path}:{number}', line


def read_id_list(path: Path) -> list[str]:
    """Read one video id per line.

    Raises:
        ValueError: If a line holds more than an id; the message names file and line.
    """
    ids = []
    for where, line in read_lines(path):
        expect(len(line.split()) == 1, where, 'one video id', line.strip())
        ids.append(line.strip())
    return ids


def read_table(path: Path, names: Sequence[str] = ()) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield place and cells by column of each row of a table with a header.

    The columns are separated by commas, semicolons or tabs, as in the header.

    Raises:
        ValueError: If a column of these names is missing, two have the same name, or a row has
            another number of columns.
    """
    text = read_text(path)
    # only the header: semicolons and commas are frequent in sentences
    header_line = text.partition('\n')[0]
    delimiter = max(DELIMITERS, key=header_line.count)
    reader = csv.reader(StringIO(text), strict=True, delimiter=delimiter)
    try:
        header = [name.strip() for name in next(reader, [])]
        if lacking := [name for name in names if name not in header]:
            raise ValueError(
                f'{path}:1: no column {lacking[0]!r}, found the columns {", ".join(header)!r:.80}'
            )
        if repeated := [name for name in header if name and header.count(name) > 1]:
            raise ValueError(f'{path}:1: several columns are named {repeated[0]!r}')
        for row in filter(None, reader):
            where = f'{path}:{reader.line_num}'
            expect(len(row) == len(header), where, f'{len(header)} columns', row)
            yield where, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise ValueError(f'{path}:{reader.line_num}: {error}') from error


def read_json_lines(path: Path) -> Iterator[tuple[str, dict]]:
    """Yield place and content of each line, a JSON object.

    Raises:
        ValueError: If a line is no such JSON.
    """
    for where, line in read_lines(path):
        try:
            content = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f'{where}: not valid JSON: {error.msg}') from error
        expect(isinstance(content, dict), where, 'an object', content)
        yield where, content


def read_json(path: Path, kind: type | tuple[type, ...]) -> Any:
    """Read a JSON object (``dict``), list, or either.

    Raises:
        ValueError: If it is no such JSON or an object names a key twice.
    """
    try:
        content = json.loads(read_text(path), object_pairs_hook=_dict_without_repetition)
    except json.JSONDecodeError as error:
        raise ValueError(f'{path}:{error.lineno}: not valid JSON: {error.msg}') from error
    except _RepeatedKeyError as error:
        raise ValueError(f'{path} names {error} more than once') from error
    if not isinstance(content, kind):
        names: dict[type, str] = {dict: 'an object', list: 'a list'}
        expected = ' or '.join(names[one] for one in (kind if isinstance(kind, tuple) else (kind,)))
        raise ValueError(f'{path} holds a {type(content).__name__}, expected {expected}')
    if not content:
        raise ValueError(f'{path} is empty')
    return content


class _RepeatedKeyError(Exception):
    """A key that an object names twice."""


def _dict_without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise _RepeatedKeyError(repr(key))
        content[key] = value
    return content


class _PlainUnpickler(pickle.Unpickler):
    """Builds lists, tuples, dicts, sets, strings and numbers, and nothing else.

    Everything else, functions to call included, has to be looked up by name first, and that is
    refused here.
    """

    def find_class(self, module: str, name: str) -> Any:
        raise _NotPlainError(f'{module}.{name}')


class _NotPlainError(Exception):
    """A pickle names a class or function."""


def load_plain_pickle(path: Path) -> Any:
    """Read containers of strings and numbers from a pickle, without running any code of it.

    Strings of Python 2 become str.

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
        # a damaged pickle raises more than UnpicklingError
        except Exception as error:
            raise ValueError(f'{path} is not a readable pickle: {type(error).__name__}') from error
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
