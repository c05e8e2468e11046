"""Which videos of an index may be found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from .view import View

__all__ = ['VideoFilter']


@dataclass(frozen=True)
class VideoFilter:
    """Conditions on videos, which all have to hold.

    A video of unknown duration does not fit a condition on the duration.

    Args:
        folder: The video lies in this folder, or in a folder inside it.
        min_duration: Seconds.
        max_duration: Seconds.
        changed_after: The file was changed then or later.
        changed_before: The file was changed before.

    Raises:
        ValueError: If a duration is negative or not finite.
    """

    folder: str | None = None
    min_duration: float | None = None
    max_duration: float | None = None
    changed_after: datetime | None = None
    changed_before: datetime | None = None

    def __post_init__(self) -> None:
        for name in ('min_duration', 'max_duration'):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f'{name}={value}, expected a number of seconds of at least 0')

    @property
    def path_prefix(self) -> str | None:
        """How the paths in the folder begin."""
        return None if self.folder is None else self.folder.rstrip('/') + '/'

    @property
    def changed_ns(self) -> tuple[int | None, int | None]:
        """The earliest time of a change, and the time before which it was, in nanoseconds."""
        return _nanoseconds(self.changed_after), _nanoseconds(self.changed_before)

    def allowed(self, view: View) -> np.ndarray:
        """Tell which videos of a view fit: (V,) bool."""
        duration, changed = view.videos['duration'], view.videos['mtime_ns']
        allowed = np.ones(len(view.videos), bool)
        if self.min_duration is not None:
            allowed &= duration >= self.min_duration
        if self.max_duration is not None:
            allowed &= duration <= self.max_duration
        after, before = self.changed_ns
        if after is not None:
            allowed &= changed >= after
        if before is not None:
            allowed &= changed < before
        if (prefix := self.path_prefix) is not None:
            for number in np.flatnonzero(allowed & view.is_latest).tolist():
                allowed[number] = view.video(number).path.startswith(prefix)
        return allowed


def _nanoseconds(time: datetime | None) -> int | None:
    return None if time is None else int(time.timestamp() * 1_000_000) * 1000
