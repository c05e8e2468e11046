"""The results of a plan: a CSV file with a row a run, and a table with intervals."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import t as student_t

from ..utils.files import write_text
from .plan import Plan, Run
from .state import RunState, curve_of

__all__ = [
    'Difference',
    'ResultRow',
    'format_results',
    'missing_metrics',
    'paired_difference',
    'read_rows',
    'write_results',
]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class ResultRow:
    """What a run measured.

    Args:
        run: The run.
        state: How far it is.
        validation: Last value of each metric of the plan on validation.
        test: Value of each metric of the plan on the test.
        logged: Last value of each logged name of the plan; empty for a run that does not train.
    """

    run: Run
    state: RunState
    validation: dict[str, float]
    test: dict[str, float]
    logged: dict[str, float]


@dataclass(frozen=True)
class Difference:
    """Mean difference to the base over the seeds that both have, with its interval.

    Args:
        mean: The mean.
        half_width: Half of the 95 % interval of Student's t; NaN for fewer than two seeds.
        count: Number of seeds.
    """

    mean: float
    half_width: float
    count: int

    def rounded(self, decimals: int = 1) -> str:
        """Write it for a table."""
        if not self.count:
            return '-'
        mean = f'{self.mean:+.{decimals}f}'
        return mean if np.isnan(self.half_width) else f'{mean} ± {self.half_width:.{decimals}f}'


def read_rows(plan: Plan, runs: Sequence[Run]) -> list[ResultRow]:
    """Read what the runs have measured so far; a metric that a test lacks is left out."""
    rows = []
    for run in runs:
        state = RunState.from_folder(run)
        validation = _last_values(run, plan.metrics) if state.trained else {}
        test = {metric: state.metrics[metric] for metric in plan.metrics if metric in state.metrics}
        logged = _last_values(run, plan.logged) if state.trained and not run.source else {}
        rows.append(ResultRow(run, state, validation, test, logged))
    return rows


def _last_values(run: Run, names: Sequence[str]) -> dict[str, float]:
    curves = {name: curve_of(run, name) for name in names}
    return {name: curve[max(curve)] for name, curve in curves.items() if curve}


def write_results(plan: Plan, rows: Sequence[ResultRow], path: Path) -> None:
    """Write a CSV file with a row for each run, complete or not at all."""
    header = ['variant', 'seed', 'status', 'hours']
    header += [f'{split} {metric}' for split in ('val', 'test') for metric in plan.metrics]
    header += [f'train {name}' for name in plan.logged]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow([*header, 'folder', 'failure'])
    for row in rows:
        values = [split.get(m, '') for split in (row.validation, row.test) for m in plan.metrics]
        values += [row.logged.get(name, '') for name in plan.logged]
        status = 'done' if row.state.is_done else 'failed' if row.state.failure else 'open'
        hours = f'{row.state.seconds / 3600:.4f}'
        start = [row.run.variant, row.run.seed, status, hours]
        writer.writerow([*start, *values, row.run.folder.name, row.state.failure])
    write_text(path, file.getvalue())


def paired_difference(values: dict[int, float], base: dict[int, float]) -> Difference:
    """Compare a variant with the base, seed by seed."""
    pairs = [values[seed] - base[seed] for seed in values.keys() & base.keys()]
    if not pairs:
        return Difference(np.nan, np.nan, 0)
    half_width = np.nan
    if len(pairs) > 1:
        quantile = student_t.ppf((1 + CONFIDENCE) / 2, len(pairs) - 1)
        half_width = quantile * np.std(pairs, ddof=1) / np.sqrt(len(pairs))
    return Difference(float(np.mean(pairs)), float(half_width), len(pairs))


def format_results(plan: Plan, rows: Sequence[ResultRow]) -> str:
    """Write the test results as a Markdown table, a row for each variant and metric.

    Example of a row: ``| no-shift | t2v/R1 | 97.2 | 1.4 | 3 | -0.8 ± 2.1 |``.
    """
    base = plan.variants[0].name
    lines = [
        f'## {plan.title}',
        '',
        f'| variant | metric | mean | sd | n | difference to {base} (95 % interval) |',
        '| --- | --- | --- | --- | --- | --- |',
    ]
    tested = [(row.run, row.test) for row in rows]
    logged = [(row.run, row.logged) for row in rows]
    measured = [(metric, metric, tested, 1) for metric in plan.metrics]
    measured += [(name, f'train {name}', logged, 3) for name in plan.logged]
    for variant in plan.variants:
        for name, title, results, decimals in measured:
            values = _values_of(results, variant.name, name)
            if name in plan.logged and variant.weights_of:
                continue
            numbers = list(values.values())
            mean = f'{np.mean(numbers):.{decimals}f}' if numbers else '-'
            spread = f'{np.std(numbers, ddof=1):.{decimals}f}' if len(numbers) > 1 else '-'
            difference = paired_difference(values, _values_of(results, base, name))
            shown = '' if variant.name == base else difference.rounded(decimals)
            cells = [variant.name, title, mean, spread, str(len(numbers)), shown]
            lines.append(f'| {" | ".join(cells)} |')
    failed = [row for row in rows if row.state.failure]
    lines += ['', *(f'- failed: {row.run}: {row.state.failure}' for row in failed)]
    lines += [f'- {missing}' for missing in missing_metrics(plan, rows)]
    hours = sum(row.state.seconds for row in rows) / 3600
    lines.append(
        f'- {sum(row.state.is_done for row in rows)} of {len(rows)} runs, {hours:.1f} hours'
    )
    return '\n'.join(lines) + '\n'


def missing_metrics(plan: Plan, rows: Sequence[ResultRow]) -> list[str]:
    """Name the metrics of the plan that tests lack which have ended, a line for each test."""
    return [
        f'{row.run}: its test has no {", ".join(missing)}, only {", ".join(row.state.metrics)}'
        for row in rows
        if row.state.is_done and (missing := sorted(set(plan.metrics) - row.state.metrics.keys()))
    ]


def _values_of(
    results: Sequence[tuple[Run, dict[str, float]]], variant: str, name: str
) -> dict[int, float]:
    """Values of a variant by seed."""
    return {
        run.seed: values[name]
        for run, values in results
        if run.variant == variant and name in values
    }
