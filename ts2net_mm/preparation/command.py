"""The command line of ``tools/data/prepare.py``: one data set's official files to annotations."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..utils.cli import run
from .annotations import Annotations
from .prepare import MISSING_FILE, REPEATED_FILE, UNANNOTATED_FILE, Preparation, prepare
from .readers.activitynet import read_activitynet
from .readers.didemo import read_didemo
from .readers.lsmdc import read_lsmdc
from .readers.msrvtt import SPLITS, read_msrvtt
from .readers.msvd import read_msvd
from .readers.pairs import CAPTION_KEYS, VIDEO_KEYS, read_pairs
from .readers.vatex import LANGUAGES, read_vatex

__all__ = ['DATA_SETS', 'main', 'main_of_old_path']

# each with its reader, and what --help says
DATA_SETS: dict[str, tuple[Callable[..., Annotations], str]] = {
    'msrvtt': (read_msrvtt, 'MSR-VTT: both training splits, the 1kA test and the full test'),
    'msvd': (read_msvd, 'MSVD: training, validation and test, with all captions of a video'),
    'vatex': (read_vatex, "VATEX: the split of papers on retrieval, or VATEX's own"),
    'lsmdc': (read_lsmdc, 'LSMDC: training, validation and the test of 1,000 clips'),
    'activitynet': (
        read_activitynet,
        'ActivityNet Captions: training, and val_1 as test, one paragraph per video',
    ),
    'didemo': (read_didemo, 'DiDeMo: training, validation and test, one paragraph per video'),
    'pairs': (read_pairs, 'lists of your own: a JSON list, JSON lines, CSV or TSV for each split'),
}
COMMON_ARGUMENTS = ('name', 'annotations', 'videos', 'out', 'on_missing', 'drop_empty_captions')


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line, prepare a data set, print the counts, and return the exit code."""
    args = parse_args(argv)
    return run(_prepare, args)


def main_of_old_path(name: str) -> int:
    """Prepare a data set from ``tools/data/<name>/prepare.py``, the path in 0.1."""
    print(
        f'note: tools/data/{name}/prepare.py is now: tools/data/prepare.py {name} '
        '(the old path will be removed in 0.2)',
        file=sys.stderr,
    )
    return main([name, *sys.argv[1:]])


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; the options of one data set are arguments of its reader."""
    parser = argparse.ArgumentParser(
        description="Turn a data set's official files into MMAction2's video-text JSON."
    )
    subparsers = parser.add_subparsers(dest='name', metavar='NAME', required=True)
    options = {
        name: _add_data_set(subparsers, name, description)
        for name, (_, description) in DATA_SETS.items()
    }
    options['msrvtt'].add_argument(
        '--splits',
        nargs='+',
        choices=SPLITS,
        default=(),
        help='write only these, and need only their files (default: all whose files exist)',
    )
    options['vatex'].add_argument(
        '--language',
        choices=tuple(LANGUAGES),
        default='en',
        help="language of the captions; Chinese ones are in VATEX's own files (default: en)",
    )
    options['vatex'].add_argument(
        '--second-test-list',
        action='store_true',
        help='test on the 1,500 videos of test1k5_sec_list.txt instead of those of test_list.txt',
    )
    options['pairs'].add_argument(
        '--video-key',
        metavar='FIELD',
        help=f'field that names the video (default: the first of {", ".join(VIDEO_KEYS)})',
    )
    options['pairs'].add_argument(
        '--caption-key',
        metavar='FIELD',
        help=f'field of the captions (default: the first of {", ".join(CAPTION_KEYS)})',
    )
    return parser.parse_args(argv)


def _add_data_set(subparsers: Any, name: str, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name, help=description, description=f'Prepare {description}.'
    )
    is_pairs = name == 'pairs'
    parser.add_argument(
        '--annotations',
        type=Path,
        required=True,
        metavar='FILE' if is_pairs else 'DIR',
        nargs='+' if is_pairs else None,
        help='one list per split' if is_pairs else 'folder of the official files',
    )
    parser.add_argument(
        '--videos',
        type=Path,
        required=True,
        metavar='DIR',
        help='folder of the video files, also in sub-folders and with any video extension; they '
        'are not moved',
    )
    config_reads = "the config's data_root" if is_pairs else f'the config reads data/{name}'
    parser.add_argument(
        '--out', type=Path, required=True, metavar='DIR', help=f'folder to write; {config_reads}'
    )
    parser.add_argument(
        '--on-missing',
        choices=('keep', 'drop'),
        default='keep',
        help='keep videos without a file in the annotations, so that a run that needs them stops '
        f'and names them, or drop them (default: keep); {MISSING_FILE} lists them either way',
    )
    parser.add_argument(
        '--drop-empty-captions',
        action='store_true',
        help='drop captions that are empty after cleaning (default: an error)',
    )
    return parser


def _prepare(args: argparse.Namespace) -> None:
    read, _ = DATA_SETS[args.name]
    options = {key: value for key, value in vars(args).items() if key not in COMMON_ARGUMENTS}
    annotations = read(args.annotations, drop_empty=args.drop_empty_captions, **options)
    result = prepare(annotations, videos=args.videos, out=args.out, on_missing=args.on_missing)
    print('\n'.join(_describe(result, args.videos, args.out)))


def _describe(result: Preparation, videos: Path, out: Path) -> list[str]:
    """Say what was found and written, in one line each."""
    summary = result.summary
    lines = [f'{summary["data_set"]} in {out}']
    for split in summary['splits'].values():
        lines += _describe_split(split)
    lines += [f'note: {note}' for note in summary['notes']]
    if result.missing:
        keep = summary['on_missing'] == 'keep'
        lines.append(
            f'videos without a file: {len(result.missing):,}, '
            f'{"kept in" if keep else "dropped from"} the annotations, listed in '
            f'{out / MISSING_FILE}'
        )
        if keep:
            lines.append('  a run that needs them stops; --on-missing drop drops them')
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
        parts = []
        for key in ('videos', 'captions'):
            if published[key] is not None:
                more = split[key] - published[key]
                difference = f'{abs(more):,} {"more" if more > 0 else "fewer"} here'
                parts.append(f'{published[key]:,} {key} ({difference if more else "same here"})')
        lines.append(f'  published: {", ".join(parts)}; source: {published["source"]}')
    return lines
