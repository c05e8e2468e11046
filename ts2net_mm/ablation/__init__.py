"""Comparisons of configs over seeds: a plan in YAML, its runs, and what came out."""

from .figures import draw_figures
from .plan import Plan, Run, Variant, read_plan, runs_of
from .results import ResultRow, format_results, missing_metrics, read_rows, write_results
from .scheduling import Launcher, run_all
from .state import RunState, curve_of

__all__ = [
    'Launcher',
    'Plan',
    'ResultRow',
    'Run',
    'RunState',
    'Variant',
    'curve_of',
    'draw_figures',
    'format_results',
    'missing_metrics',
    'read_plan',
    'read_rows',
    'run_all',
    'runs_of',
    'write_results',
]
