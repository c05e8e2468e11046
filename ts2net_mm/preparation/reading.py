"""Read annotation files as people have them: with a BOM, Windows line ends, and mistakes."""

import csv
import json
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

__all__ = [
    'check_folder',
    'describe_folder',
    'read_columns',
    'read_id_list',
    'read_json',
    'read_json_lines',
    'read_lines',
    'read_table',
]

NAMED_FILES = 10
DELIMITERS = (',', ';', '\t')  # between the columns of a table


def check_folder(folder: Path, expected: Sequence[str]) -> None:
    """Make sure that a folder holds the expected files.

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
    """Read UTF-8, with or without BOM, and give every line the same end."""
    content = path.read_bytes()
    try:
        text = content.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = content.count(b'\n', 0, error.start) + 1
        raise ValueError(f'{path}:{line}: not valid UTF-8 (byte {error.start})') from error
    return text.replace('\r\n', '\n').replace('\r', '\n')


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield place and text of each line that is not blank; the place reads ``file:line``."""
    # not splitlines(), which also breaks at separators that occur inside captions
    for number, line in enumerate(read_text(path).split('\n'), start=1):
        if line.strip():
            yield f'{path}:{number}', line


def read_id_list(path: Path) -> list[str]:
    """Read one video id a line.

    Raises:
        ValueError: If a line holds more than an id, or the file none; it names file and line.
    """
    ids = []
    for where, line in read_lines(path):
        if len(line.split()) != 1:
            raise ValueError(f'{where}: expected one video id, found {line.strip()!r:.80}')
        ids.append(line.strip())
    if not ids:
        raise ValueError(f'{path} lists no videos')
    return ids


def read_columns(path: Path, names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield place and the named columns of each row; see `read_table`."""
    for where, row in read_table(path, names):
        yield where, [row[name] for name in names]


def read_table(path: Path, names: Sequence[str] = ()) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield place and cells by column of each row of a table with a header.

    Commas, semicolons or tabs stand between the columns; the header tells which.

    Raises:
        ValueError: If a column of these names is missing, two have the same name, or a row has
            another number of columns.
    """
    text = read_text(path)
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
        for row in reader:
            where = f'{path}:{reader.line_num}'
            if row and len(row) != len(header):
                raise ValueError(
                    f'{where}: expected {len(header)} columns, found {len(row)}: {row!r:.80}'
                )
            if row:
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
            raise ValueError(f'{where}: no valid JSON: {error.msg}') from error
        if not isinstance(content, dict):
            raise ValueError(f'{where}: expected an object, found {line.strip()!r:.80}')
        yield where, content


def read_json(path: Path, kind: type | tuple[type, ...]) -> Any:
    """Read a JSON object (``dict``), list, or either.

    Raises:
        ValueError: If it is no such JSON or an object names a key twice.
    """
    text = read_text(path)
    try:
        content = json.loads(text, object_pairs_hook=_without_repetition)
    except json.JSONDecodeError as error:
        raise ValueError(f'{path}:{error.lineno}: no valid JSON: {error.msg}') from error
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


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _RepeatedKeyError(repr(repeated))
    return content
