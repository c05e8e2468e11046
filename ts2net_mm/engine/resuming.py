"""Which checkpoint of a work folder a run can go on from."""

import re
import zipfile
from pathlib import Path

__all__ = ['NoCheckpointError', 'checkpoints_to_resume', 'is_complete', 'newest_complete']

STEP = re.compile(r'(?:epoch|iter)_(\d+)\.pth')


class NoCheckpointError(ValueError):
    """There are checkpoints, but none that is complete."""


def is_complete(path: Path) -> bool:
    """Tell whether a file is one that torch has written to its end, every checksum right."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError):
        return False


def checkpoints_to_resume(work_dir: str | Path) -> list[Path]:
    """List the checkpoints of a run, best first.

    First come those that are newer than what ``last_checkpoint`` names, which an interruption may
    leave behind, then that one, then the older ones. A work folder that was moved or copied is
    understood: its own file comes before the one of that name in the original.
    """
    folder = Path(work_dir)
    steps = {
        path: int(match.group(1))
        for path in folder.glob('*.pth')
        if (match := STEP.fullmatch(path.name))
    }
    ordered = sorted(steps, key=lambda path: (steps[path], path.name), reverse=True)
    record = folder / 'last_checkpoint'
    noted = Path(record.read_text().strip()) if record.is_file() else None
    if noted is None or not noted.name:
        return sorted(ordered, key=lambda path: path.stat().st_mtime, reverse=True)
    own = folder / noted.name
    last = noted if noted.exists() and not own.exists() else own
    match = STEP.fullmatch(last.name)
    step = int(match.group(1)) if match else -1
    # of an earlier run in the same folder there may be higher steps, but not later files
    since = last.stat().st_mtime if last.exists() else 0.0
    newer = [path for path in ordered if steps[path] > step and path.stat().st_mtime > since]
    older = [path for path in ordered if steps[path] < step and path != last]
    return [*newer, *([last] if last.exists() else []), *older]


def newest_complete(work_dir: str | Path) -> tuple[Path | None, list[Path]]:
    """Choose the checkpoint to go on from.

    Returns:
        The checkpoint, None if there is none at all, and those before it that are damaged.

    Raises:
        NoCheckpointError: If all are damaged.
    """
    damaged: list[Path] = []
    for path in checkpoints_to_resume(work_dir):
        if is_complete(path):
            return path, damaged
        damaged.append(path)
    if damaged:
        names = ', '.join(path.name for path in damaged)
        raise NoCheckpointError(f'no checkpoint of {work_dir} is complete; damaged: {names}')
    return None, []
