"""Print measurements as a table, the first side being the one that the others are compared with."""

from collections.abc import Sequence
from dataclasses import dataclass

from measuring import Measurement

__all__ = ['Report', 'format_bytes']

HEADER = ('', 'median time', 'median CPU time', 'peak memory', 'saved for backward')


@dataclass(frozen=True)
class Report:
    """The outcome of one benchmark.

    Args:
        title: What was run.
        notes: What was checked.
        measurements: One a side, ours first.
    """

    title: str
    notes: Sequence[str]
    measurements: Sequence[Measurement]

    def __str__(self) -> str:
        ours, *others = self.measurements
        rows = [HEADER, *(_value_row(one) for one in self.measurements)]
        rows += [_ratio_row(other, ours) for other in others]
        used = [column for column in zip(*rows, strict=True) if any(column[1:])]
        widths = [max(map(len, column)) for column in used]
        lines = [self.title, *(f'  {note}' for note in self.notes), '']
        for row in zip(*used, strict=True):
            name, *cells = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            lines.append('  ' + '  '.join((name.strip().ljust(widths[0]), *cells)))
        lines += [
            f'  {one.side.name}: time of its block x {one.side.scale:,.0f}, memory of the block'
            for one in others
            if one.side.scale != 1
        ]
        return '\n'.join(line.rstrip() for line in lines)


def _value_row(one: Measurement) -> tuple[str, ...]:
    return (
        one.side.name,
        _format_seconds(one.median),
        _format_seconds(one.median_cpu),
        format_bytes(one.peak),
        format_bytes(one.side.saved),
    )


def _ratio_row(other: Measurement, ours: Measurement) -> tuple[str, ...]:
    return (
        f'{other.side.name} / {ours.side.name}',
        _format_ratio(other.median, ours.median),
        _format_ratio(other.median_cpu, ours.median_cpu),
        # a block's memory says nothing about the whole
        _format_ratio(other.peak, ours.peak) if other.side.scale == 1 else '',
        _format_ratio(other.side.saved, ours.side.saved),
    )


def _format_ratio(other: float | None, ours: float | None) -> str:
    return f'{other / ours:,.2f}' if other is not None and ours else ''


def _format_seconds(seconds: float) -> str:
    if seconds < 1:
        return f'{seconds * 1e3:.1f} ms'
    return f'{seconds:.2f} s' if seconds < 100 else f'{seconds:,.0f} s'


def format_bytes(size: int | None) -> str:
    """Write a number of bytes in MiB or GiB, nothing for None."""
    if size is None:
        return ''
    return f'{size / 2**20:.2f} MiB' if size < 2**30 else f'{size / 2**30:.2f} GiB'
