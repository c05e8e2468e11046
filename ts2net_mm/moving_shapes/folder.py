"""The folder of a rendered data set: its settings, its annotations, one writer at a time."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..utils.files import write_text
from .plan import SPLITS

_MANIFEST = 'dataset.json'
_SCRATCH = '.rendering'


class DatasetFolder:
    """A folder that is complete if, and only if, it holds ``dataset.json``.

    While it is being rendered the same file lies in ``.rendering/``, next to unfinished videos.

    Args:
        root: The folder; it exists.
        settings: What the data set is rendered with.
        annotations: Entries of the annotation file of each split.

    Raises:
        FileExistsError: If ``root`` already holds something else.
        ValueError: If ``root`` was rendered with other settings.
    """

    def __init__(
        self, root: Path, *, settings: dict[str, Any], annotations: dict[str, dict]
    ) -> None:
        self.root = root
        self.scratch = root / _SCRATCH
        self._settings = settings
        self._annotations = {
            root / f'{split}.json': _as_json(entries) for split, entries in annotations.items()
        }
        self._check_settings()

    @property
    def is_closed(self) -> bool:
        """Whether the settings and all annotation files are in place."""
        return (self.root / _MANIFEST).exists() and all(
            path.exists() and path.read_text(encoding='utf-8') == text
            for path, text in self._annotations.items()
        )

    def open(self) -> None:
        """Mark the folder as incomplete and drop what a killed rendering left unfinished."""
        manifest = self.root / _MANIFEST
        self.scratch.mkdir(exist_ok=True)
        if manifest.exists():
            os.replace(manifest, self.scratch / _MANIFEST)
        else:
            _write(self.scratch / _MANIFEST, _as_json(self._settings))
        self.drop_unfinished()
        for split in SPLITS:
            (self.root / split).mkdir(exist_ok=True)

    def drop_unfinished(self) -> None:
        """Remove the unfinished videos."""
        for video in self.scratch.glob('*.mp4'):
            video.unlink(missing_ok=True)

    def close(self) -> None:
        """Write the annotation files, then mark the folder as complete."""
        for path, text in self._annotations.items():
            _write(path, text)
        os.replace(self.scratch / _MANIFEST, self.root / _MANIFEST)
        shutil.rmtree(self.scratch)

    def _check_settings(self) -> None:
        manifests = [folder / _MANIFEST for folder in (self.root, self.scratch)]
        present = [manifest for manifest in manifests if manifest.exists()]
        for manifest in present:
            self._compare(manifest)
        ours = [*SPLITS, *(path.name for path in self._annotations)]
        foreign = [name for name in ours if (self.root / name).exists()]
        if foreign and not present:
            raise FileExistsError(
                f'{self.root}: holds {foreign[0]!r} but no {_MANIFEST}, so it is not a '
                f'moving-shapes data set; choose an empty folder'
            )

    def _compare(self, manifest: Path) -> None:
        try:
            found = json.loads(manifest.read_text(encoding='utf-8'))
        except ValueError as error:
            raise ValueError(f'{manifest}: not valid JSON ({error}); remove the folder') from error
        if not isinstance(found, dict):
            raise ValueError(f'{manifest}: expected the settings of a data set, found {found!r}')
        for key, expected in self._settings.items():
            if found.get(key) != expected:
                raise ValueError(
                    f'{manifest}: rendered with {key}={found.get(key)!r}, but {key}={expected!r} '
                    f'is asked for; choose another folder or remove this one'
                )


@contextmanager
def one_writer(root: Path) -> Iterator[None]:
    """Make the folder ``root`` and keep other processes out, after waiting for one that is in.

    Raises:
        NotADirectoryError: If ``root`` is a file.
    """
    if root.exists() and not root.is_dir():
        raise NotADirectoryError(f'{root}: expected a folder, found a file')
    root.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        yield
        return
    descriptor = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.getLogger(__name__).warning('waiting for another rendering of %s', root)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            logging.getLogger(__name__).warning('cannot lock %s; render it only once', root)
        yield
    finally:
        os.close(descriptor)


def _as_json(content: dict) -> str:
    return json.dumps(content, indent=1) + '\n'


def _write(path: Path, text: str) -> None:
    write_text(path, text)
