"""Files that are complete or missing, whenever the process or the machine stops."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ['PART', 'move_into_place', 'replacing', 'temporary_beside', 'write_text']

PART = '.part'  # how temporary names end


@contextmanager
def temporary_beside(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; delete it on exit."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}{PART}')
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that replaces ``path`` on exit; after an error ``path`` is unchanged.

    Example:
        >>> folder = getfixture('tmp_path')
        >>> with replacing(folder / 'a.txt') as temporary:
        ...     _ = temporary.write_text('whole')
        >>> [one.name for one in folder.iterdir()]
        ['a.txt']
    """
    with temporary_beside(path) as temporary:
        yield temporary
        move_into_place(temporary, path)


def move_into_place(temporary: Path, path: str | Path) -> None:
    """Rename a file once its content is on the disk, so that a power cut leaves old or new."""
    _sync(temporary)
    os.replace(temporary, path)
    _sync(Path(path).parent)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8, complete or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def _sync(path: Path) -> None:
    if os.name == 'nt':  # does not open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
