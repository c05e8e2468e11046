"""Figures of a plan: curves of validation and of the log, and the test result of each run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..utils.files import replacing
from .plan import Plan
from .results import ResultRow
from .state import curve_of

__all__ = ['draw_figures']

DPI = 120


def draw_figures(plan: Plan, rows: Sequence[ResultRow], folder: Path) -> list[Path]:
    """Write ``curves.png`` and ``results.png`` of the plan's first metric, and ``logged.png``.

    Returns:
        The files that were written; none before there is anything to show.
    """
    metric = plan.metrics[0]
    figures: list[tuple[str, Figure]] = []
    for name, logged in (('curves.png', [metric]), ('logged.png', plan.logged)):
        shown = [log for log in logged if any(curve_of(row.run, log) for row in rows)]
        if not shown:
            continue
        figure = Figure(figsize=(max(7, 5 * len(shown)), 4.5), layout='constrained')
        for place, log in enumerate(shown, start=1):
            title = f'{log} on validation' if log == metric else log
            _draw_curves(figure.add_subplot(1, len(shown), place), plan, rows, log, title)
        figures.append((name, figure))
    if any(row.test for row in rows):
        figure = Figure(figsize=(7, 4.5), layout='constrained')
        _draw_results(figure.add_subplot(), plan, rows, metric)
        figures.append(('results.png', figure))
    for name, figure in figures:
        with replacing(folder / name) as temporary:
            figure.savefig(temporary, format='png', dpi=DPI)
    return [folder / name for name, _ in figures]


def _draw_curves(axes: Axes, plan: Plan, rows: Sequence[ResultRow], log: str, title: str) -> None:
    """A thin line for each seed, and a thick one for their mean where all have a value."""
    trained = [variant.name for variant in plan.variants if variant.weights_of is None]
    for number, name in enumerate(trained):
        curves = [curve_of(row.run, log) for row in rows if row.run.variant == name]
        curves = [curve for curve in curves if curve]
        if not curves:
            continue
        colour = f'C{number % 10}'
        for curve in curves:
            axes.plot(list(curve), list(curve.values()), color=colour, alpha=0.3, linewidth=1)
        common = sorted(set.intersection(*map(set, curves)))
        mean = [np.mean([curve[step] for curve in curves]) for step in common]
        axes.plot(common, mean, color=colour, linewidth=2, label=f'{name} (n = {len(curves)})')
    axes.set(title=plan.title, xlabel='iterations', ylabel=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()


def _draw_results(axes: Axes, plan: Plan, rows: Sequence[ResultRow], metric: str) -> None:
    """A point for each run, and a line at the mean of each variant."""
    names = [variant.name for variant in plan.variants]
    for place, name in enumerate(names):
        values = [row.test[metric] for row in rows if row.run.variant == name and row.test]
        axes.plot(values, [place] * len(values), 'o', color='C0', alpha=0.6)
        if values:
            axes.plot([np.mean(values)] * 2, [place - 0.3, place + 0.3], color='C1', linewidth=2)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(title=plan.title, xlabel=f'{metric} on the test')
    axes.grid(alpha=0.3, axis='x')
