"""Write a frame store."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lmdb

from ..datasets.frame_store import (
    DATA,
    DESCRIPTION,
    VERSION,
    FrameStoreError,
    StoredVideo,
    close_access,
    describe_difference,
    frame_key,
    parse_video,
    read_description,
    video_key,
)
from ..utils.files import PART, write_text

__all__ = ['FrameStoreWriter']

LOCK = 'writer.lock'
NEXT_NUMBER = b'next number'
FIRST_MAP_SIZE = 2**28  # bytes of address space, doubled when they are full


class FrameStoreWriter:
    """A frame store to add videos to, by one process at a time.

    What was added is on disk after `flush`, completely or not at all, whenever the process ends.

    Args:
        folder: Where it is, or where it is made.
        settings: How the frames are made, JSON types.

    Raises:
        FrameStoreError: If the folder holds something else or a store of other settings, or
            another process writes to it.
    """

    def __init__(self, folder: str | Path, settings: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.settings = dict(settings)
        self._pending: dict[str, tuple[StoredVideo, dict[int, bytes]]] = {}
        description = read_description(self.folder)
        if description is None and self.folder.exists():
            others = sorted(
                name for name in os.listdir(self.folder) if name != LOCK and not name.endswith(PART)
            )
            if others:
                raise FrameStoreError(
                    f'{folder} is no frame store and not empty (it holds {others[0]}); '
                    'choose another folder'
                )
        if description is not None and description['settings'] != self.settings:
            raise FrameStoreError(
                f'the frame store {folder} was made with '
                f'{describe_difference(description["settings"], self.settings)}; '
                'choose another folder, or delete it'
            )

    @contextmanager
    def opened(self) -> Iterator['FrameStoreWriter']:
        """Open the store, and leave it complete."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOCK).open('a') as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FrameStoreError(f'another process writes to {self.folder}') from None
            self._describe()
            close_access(self.folder)
            try:
                self._env = lmdb.open(str(self.folder), map_size=self._map_size())
            except lmdb.Error as error:
                raise FrameStoreError(
                    f'frame store {self.folder} is unreadable: {error}; delete it'
                ) from None
            try:
                yield self
            finally:
                try:
                    self.flush()
                finally:
                    self._env.close()
                self._describe()

    def video(self, name: str) -> StoredVideo | None:
        """Look up a video that has been written."""
        with self._env.begin() as transaction:
            return _video(transaction, name)

    def add(self, video: StoredVideo, frames: Mapping[int, bytes]) -> None:
        """Add a video in place of what the store knows of it; ``frame_dir`` is set here."""
        self._pending[video.name] = video, dict(frames)

    @property
    def pending_bytes(self) -> int:
        """Bytes of the pictures that are not on disk yet."""
        return sum(len(data) for _, frames in self._pending.values() for data in frames.values())

    def flush(self) -> None:
        """Write what was added in one transaction.

        Raises:
            FrameStoreError: If that fails, such as on a full disk.
        """
        while self._pending:
            try:
                with self._env.begin(write=True) as transaction:
                    for video, frames in self._pending.values():
                        self._write(transaction, video, frames)
            except lmdb.MapFullError:
                self._env.set_mapsize(2 * self._env.info()['map_size'])
            except lmdb.Error as error:
                raise FrameStoreError(f'cannot write to {self.folder}: {error}') from error
            else:
                self._pending.clear()

    def _write(
        self, transaction: lmdb.Transaction, video: StoredVideo, frames: Mapping[int, bytes]
    ) -> None:
        old = _video(transaction, video.name)
        if old is not None:
            for number in old.numbers():
                transaction.delete(frame_key(old.frame_dir, number))
        fields = asdict(video)
        if frames:
            count = int(bytes(transaction.get(NEXT_NUMBER, b'0')))
            transaction.put(NEXT_NUMBER, str(count + 1).encode())
            fields['frame_dir'] = f'{count:08}'
        for number, picture in sorted(frames.items()):
            transaction.put(frame_key(fields['frame_dir'], number), picture)
        transaction.put(video_key(video.name).encode(), json.dumps(fields).encode())

    def _map_size(self) -> int:
        data = self.folder / DATA
        return max(FIRST_MAP_SIZE, 2 * data.stat().st_size if data.exists() else 0)

    def _describe(self) -> None:
        data = self.folder / DATA
        content = dict(
            version=VERSION,
            settings=self.settings,
            bytes=data.stat().st_size if data.exists() else 0,
        )
        write_text(self.folder / DESCRIPTION, json.dumps(content, indent=2) + '\n')


def _video(transaction: lmdb.Transaction, name: str) -> StoredVideo | None:
    value = transaction.get(video_key(name).encode())
    return None if value is None else parse_video(bytes(value))
