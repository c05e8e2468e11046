"""The lock of a work folder, and the checkpoints of earlier runs in it."""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import torch.distributed as torch_dist
from filelock import FileLock, Timeout
from mmengine.dist import broadcast_object_list

from ..utils.files import write_text

__all__ = ['WorkDirError', 'claim_work_dir', 'describe_earlier_run']

LOCK = '.lock'
HOLDER = '.lock.json'
NAMED_FILES = 5


class WorkDirError(ValueError):
    """The work folder is in use by another run, or cannot be written."""


@contextmanager
def claim_work_dir(folder: str | Path, rank: int = 0) -> Iterator[None]:
    """Lock a work folder against other runs, until this run ends in whatever way.

    Process 0 of a distributed run takes the lock for all processes. The kernel releases it when
    that process ends. On a file system without locks the run continues without a lock.

    Args:
        folder: The work folder, created if missing.
        rank: Rank of this process.

    Raises:
        WorkDirError: With the process that holds the lock, or why the folder cannot be written.
    """
    lock = FileLock(Path(folder) / LOCK)
    error = _acquire(lock, Path(folder)) if rank == 0 else None
    if torch_dist.is_initialized():
        # without it the other processes would wait for process 0
        shared = [error]
        broadcast_object_list(shared)
        error = shared[0]
    if error:
        raise WorkDirError(error)
    try:
        yield
    finally:
        if lock.is_locked:
            (Path(folder) / HOLDER).unlink(missing_ok=True)
            lock.release()


def _acquire(lock: FileLock, folder: Path) -> str | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        return (
            f'{folder} is the work folder of another run{_describe_holder(folder)}; '
            'choose another --work-dir or wait until that run ends'
        )
    except OSError as error:
        if folder.is_dir() and os.access(folder, os.W_OK):  # the file system has no locks
            return None
        return f'cannot write into the work folder {folder}: {error.strerror}'
    holder = dict(
        process=os.getpid(),
        machine=platform.node(),
        started=datetime.now().astimezone().isoformat(' ', 'seconds'),
    )
    write_text(folder / HOLDER, json.dumps(holder))
    return None


def _describe_holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / HOLDER).read_text())
        return f' (process {holder["process"]} on {holder["machine"]}, since {holder["started"]})'
    except (OSError, ValueError, KeyError, TypeError):
        return ''


def describe_earlier_run(folder: str | Path) -> str | None:
    """Name the checkpoints that a new run may overwrite; None if there are none."""
    found = sorted(Path(folder).glob('*.pth'), key=lambda path: (path.stat().st_mtime, path.name))
    if not found:
        return None
    names = ', '.join(path.name for path in found[-NAMED_FILES:])
    others = len(found) - NAMED_FILES
    more = f' and {others} older ones' if others > 0 else ''
    return (
        f'{folder} has checkpoints of an earlier run: {names}{more}; this run overwrites files of '
        'the same names (--resume continues from the newest instead)'
    )
