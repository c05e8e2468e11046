"""Retrieval metrics as a table for people."""

import re
from collections.abc import Mapping
from io import StringIO

from rich import box
from rich.console import Console
from rich.table import Table

from .ranking import METRIC_NAMES

__all__ = ['format_table']

ROWS = {
    't2v': 'text to video',
    'v2t': 'video to text',
    't2v_dsl': 'text to video, inverted softmax',
    'v2t_dsl': 'video to text, inverted softmax',
    't2v_qb': 'text to video, query bank',
}
_RANKING_KEY = re.compile(
    rf'(?:(?P<prefix>.*)/)?(?P<row>{"|".join(ROWS)})/(?P<name>{"|".join(METRIC_NAMES)})'
)
_LEFT_OUT_KEY = re.compile(r'(?:(?P<prefix>.*)/)?left_out/videos')
_ACCURACY_KEY = re.compile(r'(?:(?P<prefix>.*)/)?t2v/(?P<field>.+)_acc')


def format_table(metrics: Mapping[str, float]) -> str:
    """Lay out what `TextVideoRetrievalMetric` returned, a row for each direction.

    Recalls are percent, ranks start at 1. Keys of other metrics are left out; without any known key
    the result is empty. The text has no escape codes and is a Markdown table too.

    Args:
        metrics: Keys and values, with or without a prefix.

    Example:
        >>> print(format_table({'t2v/R1': 47.0, 't2v/MnR': 8.25, 't2v/reversal_acc': 93.0}))
        |               | R@1  | MnR |
        |---------------|------|-----|
        | text to video | 47.0 | 8.2 |
        reversal: the right video scores higher for 93.0 % of the texts
    """
    cells: dict[tuple[str, str], dict[str, float]] = {}
    lines = []
    for key, value in metrics.items():
        if match := _RANKING_KEY.fullmatch(key):
            cells.setdefault((match['prefix'] or '', match['row']), {})[match['name']] = value
        elif match := _ACCURACY_KEY.fullmatch(key):
            label = ': '.join(filter(None, (match['prefix'], match['field'])))
            lines.append(f'{label}: the right video scores higher for {value:.1f} % of the texts')
        elif match := _LEFT_OUT_KEY.fullmatch(key):
            label = ': '.join(filter(None, (match['prefix'], 'left out')))
            texts = metrics[f'{key.removesuffix("videos")}texts']
            lines.append(
                f'{label}: {value:.0f} videos that cannot be read, and their {texts:.0f} texts'
            )
    if cells:
        lines.insert(0, _render(_table(cells)))
    return '\n'.join(lines)


def _table(cells: Mapping[tuple[str, str], Mapping[str, float]]) -> Table:
    names = [name for name in METRIC_NAMES if any(name in row for row in cells.values())]
    table = Table(box=box.MARKDOWN)
    table.add_column('', no_wrap=True)
    for name in names:
        table.add_column(
            name.replace('R', 'R@') if name[1:].isdigit() else name, justify='right', no_wrap=True
        )
    for prefix, row in sorted(cells, key=lambda key: (key[0], list(ROWS).index(key[1]))):
        values = cells[prefix, row]
        label = f'{prefix}: {ROWS[row]}' if prefix else ROWS[row]
        table.add_row(label, *(f'{values[name]:.1f}' if name in values else '-' for name in names))
    return table


def _render(table: Table) -> str:
    # A width of its own: cut to the width of a terminal or a log, the table would lose figures.
    console = Console(file=StringIO(), width=200, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    return '\n'.join(line.rstrip() for line in capture.get().splitlines() if line.strip())
