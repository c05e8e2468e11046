"""Tables of what was measured, as text, as Markdown and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from measuring import Measurement

__all__ = ['Report', 'Table', 'format_bytes', 'format_seconds']

HEADER = (
    '',
    'median time',
    'min to max',
    'median CPU time',
    'peak memory',
    'whole process',
    'saved for backward',
)


@dataclass(frozen=True)
class Table:
    """Rows of cells under a title.

    Args:
        title: What was run.
        notes: What was checked, and what to know about the numbers.
        columns: Names of the columns.
        rows: Texts and numbers; None for an empty cell.
        footnotes: Lines below the table.
    """

    title: str
    notes: Sequence[str]
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    footnotes: Sequence[str] = field(default=())

    def __str__(self) -> str:
        rows = self._texts()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [self.title, *(f'  {note}' for note in self.notes), '']
        for name, *cells in rows:
            padded = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
            lines.append('  ' + '  '.join((name.ljust(widths[0]), *padded)))
        lines += [f'  {note}' for note in self.footnotes]
        return '\n'.join(line.rstrip() for line in lines)

    def markdown(self) -> str:
        """Write the same with a Markdown table."""
        header, *rows = (f'| {" | ".join(cells)} |' for cells in self._texts())
        rule = '| --- ' + '| ---: ' * (len(self.columns) - 1) + '|'
        notes = [f'- {note}' for note in self.notes]
        parts = [f'**{self.title}**', *(['\n'.join(notes)] if notes else [])]
        parts += ['\n'.join([header, rule, *rows]), *self.footnotes]
        return '\n\n'.join(parts)

    def as_dict(self) -> dict[str, Any]:
        """Give what a JSON file keeps."""
        return asdict(self)

    def _texts(self) -> list[list[str]]:
        return [list(self.columns), *([_cell(value) for value in row] for row in self.rows)]


@dataclass(frozen=True)
class Report:
    """The outcome of a benchmark that compares implementations.

    Args:
        title: What was run.
        notes: What was checked.
        measurements: One a side, ours first; the others are compared with it.
    """

    title: str
    notes: Sequence[str]
    measurements: Sequence[Measurement]

    def table(self) -> Table:
        """Arrange the measurements and their ratios; columns without a value are left out."""
        ours, *others = self.measurements
        rows = [_value_row(one) for one in self.measurements]
        rows += [_ratio_row(other, ours) for other in others]
        used = [index for index in range(len(HEADER)) if any(row[index] for row in rows)]
        return Table(
            self.title,
            self.notes,
            [HEADER[index] for index in used],
            [[row[index] for index in used] for row in rows],
            [
                f'{one.side.name}: time of its block x {one.side.scale:,.0f}, memory of the block'
                for one in others
                if one.side.scale != 1
            ],
        )

    def __str__(self) -> str:
        return str(self.table())

    def markdown(self) -> str:
        """Write the table in Markdown."""
        return self.table().markdown()

    def as_dict(self) -> dict[str, Any]:
        """Give what a JSON file keeps: every round in seconds, memory in bytes."""
        rows = [
            dict(
                name=one.side.name,
                seconds=one.seconds,
                cpu_seconds=one.cpu_seconds,
                peak_bytes=one.peak,
                process_bytes=one.process_peak,
                saved_bytes=one.side.saved,
                scale=one.side.scale,
            )
            for one in self.measurements
        ]
        return dict(title=self.title, notes=list(self.notes), rows=rows)


def _value_row(one: Measurement) -> tuple[str, ...]:
    lowest, highest = min(one.seconds), max(one.seconds)
    spread = f'{format_seconds(lowest)} to {format_seconds(highest)}'
    return (
        one.side.name,
        format_seconds(one.median),
        spread if len(one.seconds) > 1 else '',
        format_seconds(one.median_cpu),
        format_bytes(one.peak),
        format_bytes(one.process_peak),
        format_bytes(one.side.saved),
    )


def _ratio_row(other: Measurement, ours: Measurement) -> tuple[str, ...]:
    # a block's memory says nothing about the whole
    is_whole = other.side.scale == 1
    return (
        f'{other.side.name} / {ours.side.name}',
        _format_ratio(other.median, ours.median),
        '',
        _format_ratio(other.median_cpu, ours.median_cpu),
        _format_ratio(other.peak, ours.peak) if is_whole else '',
        _format_ratio(other.process_peak, ours.process_peak) if is_whole else '',
        _format_ratio(other.side.saved, ours.side.saved),
    )


def _cell(value: Any) -> str:
    if value is None:
        return ''
    if isinstance(value, float):
        return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.3g}'
    return f'{value:,}' if isinstance(value, int) else str(value)


def _format_ratio(other: float | None, ours: float | None) -> str:
    return f'{other / ours:,.2f}' if other is not None and ours else ''


def format_seconds(seconds: float) -> str:
    """Write a duration in milliseconds or seconds."""
    if seconds < 1:
        return f'{seconds * 1e3:.1f} ms'
    return f'{seconds:.2f} s' if seconds < 100 else f'{seconds:,.0f} s'


def format_bytes(size: int | None) -> str:
    """Write a number of bytes in MiB or GiB, nothing for None."""
    if size is None:
        return ''
    return f'{size / 2**20:.2f} MiB' if size < 2**30 else f'{size / 2**30:.2f} GiB'
