"""All metrics of a similarity matrix, and their table for people."""

import json
import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from .normalisation import (
    INVERSE_TEMPERATURE,
    TOPK,
    DynamicInvertedSoftmax,
    InvertedSoftmax,
    Normalised,
)
from .ranking import METRIC_NAMES, check_scores, measure_ranks
from .sinkhorn import BankSinkhorn, Sinkhorn, SinkhornOptions
from .tiles import DIRECTIONS, read_matrix

__all__ = ['format_table', 'measure_normalised', 'measure_similarity', 'read_test_metrics']

ROWS = {
    't2v': 'text to video',
    'v2t': 'video to text',
    't2v_dsl': 'text to video, inverted softmax',
    'v2t_dsl': 'video to text, inverted softmax',
    't2v_sinkhorn': 'text to video, Sinkhorn',
    'v2t_sinkhorn': 'video to text, Sinkhorn',
    't2v_qb': 'text to video, query bank',
    't2v_qb_sinkhorn': 'text to video, Sinkhorn of a query bank',
}
_KEY = re.compile(
    rf'(?:(?P<prefix>.*)/)?(?:(?P<row>{"|".join(ROWS)})/(?P<name>{"|".join(METRIC_NAMES)})'
    r'|t2v/(?P<field>.+)_acc|(?P<skipped>skipped/videos))'
)


def measure_similarity(
    logits: np.ndarray,
    video_of_text: np.ndarray,
    *,
    inverted_softmax: bool = False,
    sinkhorn: SinkhornOptions | None = None,
    bank_logits: np.ndarray | None = None,
    logit_scale: float = 1.0,
    inverse_temperature: float = INVERSE_TEMPERATURE,
    topk: int = TOPK,
) -> dict[str, float]:
    """Rank a matrix as it is and, on request, after each normalisation.

    Args:
        logits: Scores with the logit scale, texts as rows.
        video_of_text: The column of the right video of each text.
        inverted_softmax: Whether to add ``t2v_dsl/...`` and ``v2t_dsl/...``.
        sinkhorn: Settings, for cosines; adds ``t2v_sinkhorn/...`` and ``v2t_sinkhorn/...``.
        bank_logits: Scores of the queries of a bank; adds ``t2v_qb/...`` and, with ``sinkhorn``,
            ``t2v_qb_sinkhorn/...``.
        logit_scale: Factor between cosine and logit.
        inverse_temperature: Setting of the query bank, for cosines.
        topk: Setting of the query bank.

    Shape:
        logits: (N, M), video_of_text: (N,), bank_logits: (Q, M).

    Raises:
        ValueError: see `retrieval_metrics`, `inverted_softmax`, `sinkhorn_scores`,
            `dynamic_inverted_softmax` and `sinkhorn_bank_scores`.
    """
    scores, owners = check_scores(logits, video_of_text)
    metrics = measure_ranks(read_matrix(scores), owners, scores.shape[1])
    return metrics | measure_normalised(
        scores,
        owners,
        inverted_softmax=inverted_softmax,
        sinkhorn=sinkhorn,
        bank_logits=bank_logits,
        logit_scale=logit_scale,
        inverse_temperature=inverse_temperature,
        topk=topk,
    )


def measure_normalised(
    scores: np.ndarray,
    owners: np.ndarray,
    *,
    inverted_softmax: bool,
    sinkhorn: SinkhornOptions | None,
    bank_logits: np.ndarray | None,
    logit_scale: float,
    inverse_temperature: float = INVERSE_TEMPERATURE,
    topk: int = TOPK,
) -> dict[str, float]:
    """Rank what `check_scores` returned after each normalisation; see `measure_similarity`."""
    metrics: dict[str, float] = {}

    def measure(suffix: str, direction: str, normalised: Normalised) -> None:
        metrics.update(
            measure_ranks(
                normalised, owners, scores.shape[1], directions=[direction], suffix=suffix
            )
        )

    if inverted_softmax:
        for direction in DIRECTIONS:
            measure('_dsl', direction, InvertedSoftmax(scores, direction))
    if sinkhorn:
        for direction in DIRECTIONS:
            measure(
                '_sinkhorn',
                direction,
                Sinkhorn(scores, direction, **sinkhorn.for_logits(logit_scale)),
            )
    if bank_logits is not None:
        factor = inverse_temperature / logit_scale
        measure(
            '_qb',
            't2v',
            DynamicInvertedSoftmax(scores, bank_logits, inverse_temperature=factor, topk=topk),
        )
    if bank_logits is not None and sinkhorn:
        measure(
            '_qb_sinkhorn',
            't2v',
            BankSinkhorn(scores, bank_logits, **sinkhorn.for_logits(logit_scale)),
        )
    return metrics


def format_table(metrics: Mapping[str, float]) -> str:
    """Lay out what `TextVideoRetrievalMetric` returned, a row for each direction.

    Recalls are percent, ranks start at 1. Keys of other metrics are ignored; without any known key
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
        match = _KEY.fullmatch(key)
        if match is None:
            continue
        prefix = match['prefix'] or ''
        label = f'{prefix}: ' if prefix else ''
        if match['row']:
            cells.setdefault((prefix, match['row']), {})[match['name']] = value
        elif match['field']:
            lines.append(
                f'{label}{match["field"]}: the right video scores higher for {value:.1f} % '
                'of the texts'
            )
        else:
            texts = metrics[f'{key.removesuffix("videos")}texts']
            lines.append(
                f'{label}skipped: {value:.0f} unreadable videos and their {texts:.0f} texts'
            )
    if cells:
        lines.insert(0, _render(cells))
    return '\n'.join(lines)


def read_test_metrics(work_dir: Path) -> dict[str, float]:
    """Read the metrics of the newest ``tools/test.py --work-dir WORK_DIR/test``.

    Raises:
        FileNotFoundError: If there is none.
    """
    found = sorted(work_dir.glob('test/*/*.json'))
    if not found:
        raise FileNotFoundError(f'{work_dir}: holds no results of a test (test/*/*.json)')
    return json.loads(found[-1].read_text(encoding='utf-8'))


def _render(cells: Mapping[tuple[str, str], Mapping[str, float]]) -> str:
    """Draw a row for each (prefix, row of the metrics)."""
    names = [name for name in METRIC_NAMES if any(name in row for row in cells.values())]
    table = Table(box=box.MARKDOWN)
    table.add_column('', no_wrap=True)
    for name in names:
        title = name.replace('R', 'R@') if name[1:].isdigit() else name
        table.add_column(title, justify='right', no_wrap=True)
    for prefix, row in sorted(cells, key=lambda key: (key[0], list(ROWS).index(key[1]))):
        values = cells[prefix, row]
        label = f'{prefix}: {ROWS[row]}' if prefix else ROWS[row]
        table.add_row(label, *(f'{values[name]:.1f}' if name in values else '-' for name in names))
    # A fixed width: cut to that of a terminal or a log, the table would lose figures.
    console = Console(file=StringIO(), width=200, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    return '\n'.join(line.rstrip() for line in capture.get().splitlines() if line.strip())
