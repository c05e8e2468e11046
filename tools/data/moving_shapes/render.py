"""Render the moving-shapes data set: real .mp4 files with captions, train, val and test."""

from __future__ import annotations

import argparse
import sys
import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_EPILOG = """
Takes about 10 seconds on two CPU cores. The same command again renders only what is missing or
incomplete, so an interrupted rendering continues where it stopped.
"""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=_EPILOG)
    parser.add_argument('--out', required=True, metavar='FOLDER', help='folder of the data set')
    parser.add_argument(
        '--seed', type=int, default=0, help='another seed gives another data set (default: 0)'
    )
    parser.add_argument(
        '--train-videos',
        type=int,
        default=2560,
        metavar='N',
        help='videos of the training split (default: 2560)',
    )
    parser.add_argument(
        '--workers', type=int, metavar='N', help='number of processes (default: one per CPU)'
    )
    return parser.parse_args()


def render(args: argparse.Namespace) -> None:
    """Render with a progress bar and print what was done."""
    start = time.monotonic()
    columns = (
        TextColumn('Rendering'),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn('videos'),
        TimeRemainingColumn(),
    )
    # No refreshing thread: the rendering forks, and a fork copies locks that threads hold.
    with Progress(*columns, auto_refresh=False) as bar:
        task = bar.add_task('', total=None)
        bar.refresh()
        # Imported here, because it takes seconds in which the bar should already be there.
        from ts2net_mm.moving_shapes import render_moving_shapes

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, refresh=done % 20 == 0 or done == total)

        summary = render_moving_shapes(
            args.out,
            seed=args.seed,
            num_train_videos=args.train_videos,
            workers=args.workers,
            progress=show,
        )
    splits = ', '.join(f'{count} {split}' for split, count in summary.num_videos.items())
    seconds = time.monotonic() - start
    print(
        f'{args.out}: {splits} videos; {summary.num_rendered} rendered in {seconds:.1f} s, '
        f'{summary.num_kept} kept'
    )


def main() -> int:
    """Run the command and return its exit code."""
    args = parse_args()
    from ts2net_mm.utils.cli import expecting, run

    return run(
        render,
        args,
        explain=expecting(OSError, RuntimeError, ValueError),
        when_stopped='the same command continues where this one stopped',
    )


if __name__ == '__main__':
    sys.exit(main())
