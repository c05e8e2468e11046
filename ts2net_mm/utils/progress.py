"""Show the progress of work on many videos."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ['VideoProgress']

# seconds between two lines if there is no terminal for a bar
LINE_INTERVAL = 10.0


class VideoProgress:
    """A bar on stderr, or a line every ten seconds if stderr is not a terminal.

    Args:
        total: Number of videos.
        enabled: Whether to show anything.
        title: Text before the numbers.
    """

    def __init__(self, total: int, *, enabled: bool = True, title: str = 'encoding videos') -> None:
        console = Console(file=sys.stderr)
        self.total = total
        self.title = title
        self.num_done = 0
        self._bar = None
        self._lines_due = float('inf')
        self._start = time.monotonic()
        if enabled and total and console.is_terminal:
            self._bar = Progress(
                TextColumn(title),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn('left:'),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task('', total=total)
        elif enabled and total:
            self._lines_due = time.monotonic() + LINE_INTERVAL

    def __enter__(self) -> VideoProgress:
        """Show the bar."""
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop updating the bar."""
        if self._bar:
            self._bar.stop()

    def advance(self, num_videos: int) -> None:
        """Add finished videos."""
        self.num_done += num_videos
        if self._bar:
            self._bar.advance(self._task, num_videos)
        elif time.monotonic() >= self._lines_due:
            print(
                f'{self.title}: {self.num_done} of {self.total}{self._time_left()}',
                file=sys.stderr,
                flush=True,
            )
            self._lines_due = time.monotonic() + LINE_INTERVAL

    def _time_left(self) -> str:
        """Estimate the time left from the mean of the videos so far."""
        if not self.num_done:
            return ''
        elapsed = time.monotonic() - self._start
        left = timedelta(seconds=round(elapsed * (self.total / self.num_done - 1)))
        return f', about {left} left'
