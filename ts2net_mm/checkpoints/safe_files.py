"""Files that appear only when they are complete."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ['replaced', 'temporary_beside']


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Give a name in a file's folder; whatever lies there at the end is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a temporary name beside a file; it becomes the file if the block raises nothing."""
    with temporary_beside(path) as temporary:
        yield temporary
        os.replace(temporary, path)
