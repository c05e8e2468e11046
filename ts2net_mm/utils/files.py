"""Files that are complete or missing, whenever the process or the machine stops."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    'PART',
    'check_folder',
    'ensure_folder',
    'ensure_new_folder',
    'ensure_writable',
    'making_folder',
    'move_into_place',
    'replacing',
    'require_same_settings',
    'temporary_beside',
    'write_text',
]

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
        >>> [path.name for path in folder.iterdir()]
        ['a.txt']
    """
    with temporary_beside(path) as temporary:
        yield temporary
        move_into_place(temporary, path)


@contextmanager
def making_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``path`` on exit; after an error nothing is left.

    Raises:
        FileExistsError: If there is a file or a folder that is not empty.
    """
    path = Path(path)
    ensure_new_folder(path)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}{PART}')
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for file in temporary.iterdir():
            _sync(file)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def ensure_new_folder(path: str | Path) -> None:
    """Check that a folder can be made: it is missing or empty.

    Raises:
        FileExistsError: If there is a file or a folder that is not empty.
    """
    path = Path(path)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise FileExistsError(f'{path} exists and is no empty folder: choose another or remove it')


def move_into_place(temporary: Path, path: str | Path) -> None:
    """Rename a file once its content is on the disk, so that a power cut leaves old or new."""
    _sync(temporary)
    os.replace(temporary, path)
    _sync(Path(path).parent)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8, complete or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def require_same_settings(manifest: Path, settings: object, made: str, advice: str) -> None:
    """Check that a folder was made with these settings.

    Args:
        manifest: The JSON file of the folder that says its settings.
        settings: What is requested, as JSON would give it back.
        made: How the folder was made, for the message.
        advice: What to do about other settings, for the message.

    Raises:
        ValueError: If the settings differ, or the file is damaged.
    """
    try:
        found = json.loads(manifest.read_text(encoding='utf-8'))
    except ValueError as error:
        found = f'invalid JSON ({error})'
    if found != settings:
        raise ValueError(f'{manifest}: {made} with {found}, but {settings} is requested; {advice}')


def check_folder(path: str | Path, kind: str) -> Path:
    """Check that a folder can be written, or made if it is missing, and do not make it.

    Args:
        path: The folder.
        kind: What the folder is, for the message.

    Raises:
        OSError: If it cannot be made or written.
    """
    folder = Path(path).expanduser()
    above = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not above.is_dir():
        raise NotADirectoryError(f'{kind} {folder} cannot be made: {above} is a file')
    if not os.access(above, os.W_OK):
        raise PermissionError(f'{kind} {folder} cannot be written')
    return folder


def ensure_folder(path: str | Path, kind: str) -> Path:
    """Make a folder if it is missing, and check that it can be written.

    Args:
        path: The folder.
        kind: What the folder is, for the message.

    Raises:
        OSError: If it cannot be made or written.
    """
    folder = Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f'{kind} {folder} cannot be made: {error.strerror}') from error
    if not os.access(folder, os.W_OK):
        raise PermissionError(f'{kind} {folder} cannot be written')
    return folder


def ensure_writable(path: str | Path, kind: str) -> Path:
    """Make the folder of a file, and check that the file can be written.

    Args:
        path: The file.
        kind: What the file is, for the message.

    Raises:
        OSError: If the path is a folder, or its own folder cannot be made or written.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise IsADirectoryError(f'{kind} {path} is a folder, expected a file name')
    ensure_folder(path.parent, f'folder of the {kind}')
    return path


def _sync(path: Path) -> None:
    if os.name == 'nt':  # does not open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
