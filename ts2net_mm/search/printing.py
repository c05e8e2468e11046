"""Print what a search found: tables for people, JSON for programs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ..utils.text import printable
from .results import Hit, SearchResult

__all__ = ['print_json', 'print_result']


def print_json(
    about: Mapping[str, Any],
    results: Mapping[str, SearchResult],
    name_of: Callable[[str], str] | None = None,
) -> None:
    """Print all results for a program to read.

    Args:
        about: What was searched.
        results: Results by query.
        name_of: Returns the name of a video in a folder, by its path; it is printed, too.
    """
    queries = [
        dict(
            query=query,
            exact=result.exact,
            calibrated=result.is_calibrated,
            hits=[_as_dict(hit, name_of) for hit in result.hits],
        )
        for query, result in results.items()
    ]
    print(json.dumps(dict(about) | dict(queries=queries), indent=1))


def print_result(
    query: str, result: SearchResult, name_of: Callable[[str], str] | None = None
) -> None:
    """Print the hits of a query: a table on a terminal, plain lines elsewhere.

    Args:
        query: The query.
        result: What it found.
        name_of: Returns what is printed for a path; the path itself by default.
    """
    rows = [
        (
            str(hit.rank),
            f'{hit.score:.4f}',
            '' if hit.calibrated is None else f'{hit.calibrated:.4f}',
            _describe_moment(hit),
            printable(name_of(hit.path) if name_of else hit.path),
        )
        for hit in result.hits
    ]
    title = printable(query) + ('' if result.exact else f'  ({result.certificate})')
    if rows and sys.stdout.isatty():
        _draw(title, rows)
        return
    print(title)
    if not rows:
        print('  nothing fits')
    for rank, score, calibrated, moment, name in rows:
        scores = f'{score:>7}  {calibrated:>7}' if calibrated else f'{score:>7}'
        print(f'{rank:>4}  {scores}  {moment:>21}  {name}')


def _draw(title: str, rows: list[tuple[str, str, str, str, str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    columns = ['rank', 'score', 'calibrated', 'moment and best frame']
    shown = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    for place in shown:
        table.add_column(columns[place], justify='right')
    table.add_column('video', overflow='fold')
    for *cells, name in rows:
        table.add_row(*(cells[place] for place in shown), Text(name))
    console = Console()
    console.print(Text(title, style='bold'))
    console.print(table)


def _as_dict(hit: Hit, name_of: Callable[[str], str] | None) -> dict[str, Any]:
    moments = [
        dict(
            start=moment.start,
            end=moment.end if math.isfinite(moment.end) else None,
            score=moment.score,
            best_seconds=moment.best_seconds,
        )
        for moment in hit.moments
    ]
    found: dict[str, Any] = dict(rank=hit.rank, score=hit.score)
    if hit.calibrated is not None:
        found['calibrated'] = hit.calibrated
    if name_of is not None:
        found['name'] = name_of(hit.path)
    return found | dict(
        video=hit.path,
        duration=hit.duration,
        best_seconds=hit.moments[0].best_seconds,
        moments=moments,
    )


def _describe_moment(hit: Hit) -> str:
    moment = hit.moments[0]
    times = f'{_clock(moment.start)}-{_clock(moment.end)}'
    return times if moment.best_seconds is None else f'{times} at {_clock(moment.best_seconds)}'


def _clock(seconds: float) -> str:
    """Format a time.

    Example:
        >>> _clock(75.4), _clock(3675), _clock(float('nan'))
        ('1:15', '1:01:15', '?')
    """
    if not math.isfinite(seconds):
        return '?'
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{rest:02}' if hours else f'{minutes}:{rest:02}'
