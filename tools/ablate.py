"""Train and test the variants of a plan with several seeds, and compare them."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ts2net_mm.utils.cli import positive_int, run

if TYPE_CHECKING:
    from ts2net_mm.ablation import Plan, Run

TOOLS = Path(__file__).resolve().parent
EPILOG = """\
A plan is YAML; paths of configs are relative to its folder:

  title: Moving shapes
  config: ../../ts2net_moving-shapes.py     # of the variants that name none
  options: {train_cfg.max_epochs: 40}       # of all variants, as --cfg-options
  seeds: [0, 1, 2]
  metrics: [t2v/R1, t2v/reversal_acc]       # the first also in the figures
  checkpoint: last                          # or best, on validation
  hours: 0.2                                # of a run, for --dry-run
  variants:                                 # the first is the base of the comparison
    - name: ts2net
    - name: no-shift
      options: {model.backbone.shift_layers: []}
    - name: reversed-at-test
      weights_of: ts2net                    # tests them, trains nothing
      options: {...}

Written to the work folder: results.csv, results.md, curves.png, logged.png,
results.png, and a folder for each run. The same command again skips the runs that are
done, by a digest of config, seed and checkpoint, and resumes the others.

exit codes: 0 all runs are done, 1 some failed or lack a metric, or an error, 2 wrong
arguments, 130 interrupted with Ctrl-C, 143 terminated
"""


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('plan', type=Path, help='plan file')
    parser.add_argument(
        '--work-dir', type=Path, help='folder of the results (default: work_dirs/ablations/<plan>)'
    )
    parser.add_argument(
        '--jobs', type=positive_int, default=1, metavar='N', help='runs at a time (default: 1)'
    )
    parser.add_argument(
        '--launcher',
        choices=('none', 'slurm'),
        default='none',
        help='slurm: each run through tools/slurm_train.sh, with its environment variables',
    )
    parser.add_argument('--partition', help='partition of Slurm')
    parser.add_argument(
        '--dry-run', action='store_true', help='show the runs and the estimated hours only'
    )
    args = parser.parse_args(argv)
    if not args.plan.is_file():
        parser.error(f'plan {args.plan} does not exist')
    if (args.launcher == 'slurm') != (args.partition is not None):
        parser.error('--launcher slurm and --partition need each other')
    args.work_dir = args.work_dir or Path('work_dirs/ablations') / args.plan.stem
    return args


def show_runs(plan: Plan, runs: Sequence[Run], jobs: int) -> None:
    """Print the runs, how far each is, and how long the rest will take."""
    from ts2net_mm.ablation import RunState

    states = [RunState.from_folder(one) for one in runs]
    for one, state in zip(runs, states, strict=True):
        begun = 'to be tested' if state.trained else 'to be resumed' if state.seconds else 'new'
        print(f'{one}: {"done" if state.is_done else begun}')
    trained = [one.source is None for one in runs]
    times = [s.seconds / 3600 for s, t in zip(states, trained, strict=True) if s.is_done and t]
    hours = statistics.mean(times) if times else plan.hours
    left = [s for s, t in zip(states, trained, strict=True) if not s.is_done and t]
    source = 'measured' if times else "the plan's estimate"
    if not left:
        print('nothing left to train')
    elif hours is None:
        print(f'{len(left)} trainings left; the plan has no hours and none has ended yet')
    else:
        total = sum(max(0.0, hours - state.seconds / 3600) for state in left)
        print(
            f'{len(left)} trainings left of {hours:.2f} hours ({source}): {total:.1f} hours, '
            f'{total / jobs:.1f} with {jobs} at a time'
        )


def ablate(args: argparse.Namespace) -> int:
    """Run the plan and write the results after each run."""
    from ts2net_mm.ablation import (
        Launcher,
        RunState,
        draw_figures,
        format_results,
        missing_metrics,
        read_plan,
        read_rows,
        run_all,
        runs_of,
        write_results,
    )
    from ts2net_mm.engine.work_dir import claim_work_dir
    from ts2net_mm.utils.files import write_text

    plan = read_plan(args.plan)
    runs = runs_of(plan, args.work_dir)
    if args.dry_run:
        show_runs(plan, runs, args.jobs)
        return 0

    def report() -> str:
        rows = read_rows(plan, runs)
        write_results(plan, rows, args.work_dir / 'results.csv')
        table = format_results(plan, rows)
        write_text(args.work_dir / 'results.md', table)
        draw_figures(plan, rows, args.work_dir)
        return table

    def tell_start(one: Run, state: RunState) -> None:
        print(f'{one}: {"test" if state.trained else "training"} ({one.folder})', flush=True)

    def tell_end(one: Run, state: RunState) -> None:
        found = ', '.join(f'{name} {state.metrics.get(name, "-")}' for name in plan.metrics)
        print(f'{one}: {f"failed: {state.failure}" if state.failure else found}', flush=True)
        report()

    with claim_work_dir(args.work_dir):
        run_all(
            runs,
            Launcher(TOOLS, args.jobs, args.partition),
            on_start=tell_start,
            on_end=tell_end,
        )
        print(f'\n{report()}\nresults and figures: {args.work_dir}')
    rows = read_rows(plan, runs)
    return 0 if all(row.state.is_done for row in rows) and not missing_metrics(plan, rows) else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    args = parse_args(argv)
    return run(ablate, args, when_stopped='the same command continues')


if __name__ == '__main__':
    sys.exit(main())
