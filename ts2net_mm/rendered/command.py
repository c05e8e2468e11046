"""The command line of ``tools/data/<name>/render.py``, for each rendered data set."""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import fields

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..utils.cli import expecting, run
from .planning import RenderedSet
from .rendering import render

__all__ = ['run_command']

_EPILOG = """
The same command again renders only what is missing or incomplete, so an interrupted rendering
continues where it stopped. Other settings need another folder.
"""


def run_command(
    describe: Callable[..., RenderedSet],
    difficulty: type | None = None,
    *,
    title: str,
    num_train_videos: int = 2560,
    argv: Sequence[str] | None = None,
) -> int:
    """Read the command line, render with a progress bar, and return the exit code.

    Args:
        describe: Returns the data set, given a ``difficulty`` if it has one.
        difficulty: Dataclass whose fields become options.
        title: What ``--help`` says.
        num_train_videos: Default of ``--train-videos``.
        argv: The arguments instead of those of the process.
    """
    parser = argparse.ArgumentParser(description=title, epilog=_EPILOG)
    parser.add_argument('--out', required=True, metavar='FOLDER', help='folder of the data set')
    parser.add_argument(
        '--seed', type=int, default=0, help='another seed gives another data set (default: 0)'
    )
    parser.add_argument(
        '--train-videos',
        type=int,
        default=num_train_videos,
        metavar='N',
        help='videos of the training split (default: %(default)s)',
    )
    parser.add_argument(
        '--workers', type=int, metavar='N', help='number of processes (default: one per CPU)'
    )
    settings = fields(difficulty) if difficulty else ()
    for setting in settings:
        parser.add_argument(
            f'--{setting.name.replace("_", "-")}',
            type=type(setting.default),
            default=setting.default,
            help=f'{setting.metadata["help"]} (default: %(default)s)',
        )
    args = parser.parse_args(argv)

    def work() -> None:
        values = {setting.name: getattr(args, setting.name) for setting in settings}
        _render(describe(difficulty(**values)) if difficulty else describe(), args)

    return run(
        work,
        explain=expecting(OSError, RuntimeError, ValueError),
        when_stopped='the same command continues where this one stopped',
    )


def _render(data_set: RenderedSet, args: argparse.Namespace) -> None:
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

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, refresh=done % 20 == 0 or done == total)

        summary = render(
            data_set,
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
