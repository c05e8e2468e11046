"""The command line that the preparations of all data sets share."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..utils.cli import run
from .prepare import MISSING_FILE, REPEATED_FILE, UNANNOTATED_FILE, Preparation, prepare
from .splits import Annotations

__all__ = ['run_preparation']


def run_preparation(
    read: Callable[..., Annotations],
    argv: Sequence[str] | None = None,
    *,
    description: str | None,
    out: str,
    add_arguments: Callable[[argparse.ArgumentParser], None] | None = None,
    from_files: bool = False,
) -> int:
    """Read the command line, prepare, print the counts, and return the exit code.

    Args:
        read: Reads the folder of annotations, or the files; its keyword arguments are
            ``drop_empty`` and those that ``add_arguments`` adds.
        argv: Arguments; those of the process by default.
        description: What ``--help`` says.
        out: Where the config of the data set looks.
        add_arguments: Adds options of one data set.
        from_files: Take the annotations as files, one a split, instead of their folder.
    """
    parser = _build_parser(description, out, from_files)
    common = {action.dest for action in parser._actions}
    if add_arguments:
        add_arguments(parser)
    args = parser.parse_args(argv)
    options = {key: value for key, value in vars(args).items() if key not in common}

    def work() -> None:
        annotations = read(args.annotations, drop_empty=args.drop_empty_captions, **options)
        result = prepare(annotations, videos=args.videos, out=args.out, on_missing=args.on_missing)
        print('\n'.join(describe(result, args.videos, args.out)))

    return run(work)


def _build_parser(description: str | None, out: str, from_files: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        '--annotations',
        type=Path,
        required=True,
        metavar='FILE' if from_files else 'DIR',
        nargs='+' if from_files else None,
        help='one list a split' if from_files else 'folder of the official files',
    )
    parser.add_argument(
        '--videos',
        type=Path,
        required=True,
        metavar='DIR',
        help='folder of the video files, also in sub-folders and with any video extension; they '
        'stay where they are',
    )
    parser.add_argument(
        '--out',
        type=Path,
        required=True,
        metavar='DIR',
        help=f'folder to write; the config looks in {out}',
    )
    parser.add_argument(
        '--on-missing',
        choices=('keep', 'drop'),
        default='keep',
        help='what happens to videos without a file: they stay in the annotations, and a run that '
        'needs them stops and names them (keep, the default), or they are left out (drop); they '
        f'are listed in {MISSING_FILE} either way',
    )
    parser.add_argument(
        '--drop-empty-captions',
        action='store_true',
        help='leave out captions that are empty after cleaning (default: an error)',
    )
    return parser


def describe(result: Preparation, videos: Path, out: Path) -> list[str]:
    """Say what was found and written, one line each."""
    summary = result.summary
    lines = [f'{summary["data_set"]} in {out}']
    for split in summary['splits'].values():
        lines += _describe_split(split)
    lines += [f'note: {note}' for note in summary['notes']]
    if result.missing:
        keep = summary['on_missing'] == 'keep'
        lines.append(
            f'videos without a file: {len(result.missing):,}, '
            f'{"kept in" if keep else "left out of"} the annotations, listed in '
            f'{out / MISSING_FILE}'
        )
        if keep:
            lines.append('  a run that needs them stops; --on-missing drop leaves them out')
    if result.repeated:
        lines.append(
            f'videos with several files: {len(result.repeated):,}, the first is used, listed in '
            f'{out / REPEATED_FILE}'
        )
    if count := sum(map(len, result.unannotated.values())):
        lines.append(f'ids without captions: {count:,}, listed in {out / UNANNOTATED_FILE}')
    lines.append(f'{out / "videos"} {"now leads" if result.linked else "leads"} to {videos}')
    lines.append(f"in a config: data_root='{out}', data_prefix=dict(video='videos')")
    return lines


def _describe_split(split: Mapping[str, Any]) -> list[str]:
    counts = f'{split["videos"]:,} videos, {split["captions"]:,} captions'
    lines = [f'{split["file"]}: {counts}, {split["missing_videos"]:,} without file']
    if split['repeated_ids']:
        lines.append(f'  {split["listed_in"]} repeats {split["repeated_ids"]:,} ids')
    if split['written_videos'] != split['videos']:
        lines.append(f'  written: {split["written_videos"]:,} videos')
    if published := split['published']:
        parts = [
            f'{published[key]:,} {key} ({_difference(split[key] - published[key])})'
            for key in ('videos', 'captions')
            if published[key] is not None
        ]
        lines.append(f'  published: {", ".join(parts)}; source: {published["source"]}')
    return lines


def _difference(count: int) -> str:
    if not count:
        return 'the same here'
    return f'{abs(count):,} {"more" if count > 0 else "fewer"} here'
