"""Describe, check, clean, copy and calibrate an index, and write features for other programs."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from ts2net_mm.search.calibrate_command import (
    add_calibrate_arguments,
    calibrate_index,
    check_calibrate_arguments,
    describe_calibration,
)
from ts2net_mm.search.milvus_client import is_milvus_address
from ts2net_mm.utils.cli import expecting, run
from ts2net_mm.utils.files import ensure_writable
from ts2net_mm.utils.text import printable

EPILOG = """\
commands:
  info     what the index holds, and which videos could not be read
  check    read every byte and name the damaged videos; --drop removes them, so
           that tools/encode.py encodes them again
  prune    remove videos whose files are missing
  compact  free the space of removed and replaced videos
  export   write features, paths and times to --to FILE.npz or FILE.parquet
  copy     add the videos to the index --to, and read each again to compare it; both may
           be folders, files of Milvus Lite (gallery.db) or servers of Milvus
           (http://host:19530, with the password in MILVUS_TOKEN); #name at the end names
           one of several in a database. Run again, it continues.
  calibrate  compare a bank of sentences (--queries) with all videos, so that tools/search.py
           --calibrated ranks videos lower that fit almost everything; without --queries,
           compare the stored bank with the videos that were added; docs/search.md explains it

An index may be searched, and videos added to it, during all of them.
exit codes: 0 done, 1 error or damage, 2 wrong arguments
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('index', help='folder of the index; of copy also an address of Milvus')
    parser.add_argument('command', choices=sorted(COMMANDS), help='what to do, see below')
    parser.add_argument('--drop', action='store_true', help='of check: remove damaged videos')
    parser.add_argument(
        '--to', metavar='PLACE', help='of export: the file to write; of copy: the other index'
    )
    parser.add_argument(
        '--index-type',
        default='FLAT',
        help='of copy: how a server of Milvus is to index windows; results are exact with FLAT, '
        'and with others, such as HNSW, as far as their recall (default: FLAT)',
    )
    add_calibrate_arguments(parser)
    args = parser.parse_args(argv)
    if (args.command in ('export', 'copy')) != bool(args.to):
        parser.error('export and copy need --to, and no other command takes it')
    if args.drop and args.command != 'check':
        parser.error('--drop belongs to check')
    check_calibrate_arguments(parser, args)
    if args.command != 'copy' and is_milvus_address(args.index):
        parser.error(f'{args.command} needs an index in a folder, and {args.index} is in Milvus')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code."""
    args = parse_args(argv)
    explain = expecting(OSError, ValueError, ModuleNotFoundError)
    return run(COMMANDS[args.command], args, explain=explain)


def show_info(args: argparse.Namespace) -> None:
    """Print what an index holds."""
    from ts2net_mm.search import VideoStore
    from ts2net_mm.search.calibration import read_calibration
    from ts2net_mm.search.records import MAY_PASS
    from ts2net_mm.video.video_files import is_skipped_video

    store = VideoStore(args.index)
    view, about = store.view(), store.description
    size = sum(path.stat().st_size for path in store.folder.rglob('*') if path.is_file())
    cut = f'{about.window:g} s every {about.stride:g} s' if about.window else 'whole videos'
    print(f'model: {about.model}')
    print(f'{view.num_videos} videos, {view.num_windows} windows ({cut}), {size / 1e6:.1f} MB')
    if view.num_windows:
        radius = statistics.median(view.summary.radius[view.is_live].tolist())
        print(f'median radius of a window: {radius:.2f} (docs/search.md says what it means)')
    if unused := len(view) - view.num_windows:
        print(f'{unused} windows were removed or replaced; compact frees their space')
    with suppress(FileNotFoundError):
        print(*describe_calibration(read_calibration(store.folder, about)), sep='\n')
    skipped = list(view.skipped_videos())
    named = [
        video for video in skipped if is_skipped_video(video.path, is_final=video.size != MAY_PASS)
    ]
    if len(named) < len(skipped):
        print(f'{len(skipped) - len(named):,} files are not videos')
    if named:
        print(f'{len(named)} videos could not be read:')
    for video in named:
        print(f'  {printable(video.path)}: {printable(video.note or "")}')


def check(args: argparse.Namespace) -> int:
    """Name damaged videos, and remove them if that was asked for."""
    from ts2net_mm.search import VideoStore

    store = VideoStore(args.index)
    damaged = store.damaged_videos()
    for path in damaged:
        print(f'damaged: {printable(path)}')
    num_lost = sum(segment.num_lost for segment in store.view().segments)
    if num_lost:
        print(f'{num_lost} commits are damaged, and their videos are missing: encode again')
    if args.drop and damaged:
        with store.writer() as writer:
            writer.remove(damaged)
        print(f'{len(damaged)} damaged videos are removed')
    elif not damaged and not num_lost:
        print(f'{store.view().num_videos} videos are whole')
    return int(bool(num_lost or (damaged and not args.drop)))


def prune(args: argparse.Namespace) -> None:
    """Remove videos whose files are missing."""
    from ts2net_mm.search import VideoStore

    store = VideoStore(args.index)
    view = store.view()
    videos = [*view.encoded_videos(), *view.skipped_videos()]
    missing = [video.path for video in videos if not os.path.exists(video.path)]
    if videos and len(missing) == len(videos):
        raise ValueError('the files of all videos are missing: is their disk there?')
    with store.writer() as writer:
        writer.remove(missing)
    print(f'{len(missing)} of {len(videos)} videos are removed')


def compact(args: argparse.Namespace) -> None:
    """Free the space of removed and replaced videos."""
    from filelock import Timeout

    from ts2net_mm.search import VideoStore

    try:
        saved = VideoStore(args.index).compact()
    except Timeout as error:
        raise OSError(f'another process compacts {args.index}') from error
    print(f'{saved / 1e6:.1f} MB are freed')


def export(args: argparse.Namespace) -> None:
    """Write features for other programs."""
    from ts2net_mm.search import VideoStore
    from ts2net_mm.search.exporting import export_features

    path = ensure_writable(args.to, 'export')
    store = VideoStore(args.index)
    number = export_features(store.view(), path, fingerprint=store.description.fingerprint)
    print(f'{number} windows: {path}')


def copy_videos(args: argparse.Namespace) -> int:
    """Copy an index to another place."""
    from ts2net_mm.search import copy_index
    from ts2net_mm.utils.progress import VideoProgress

    with ExitStack() as stack:
        bar: VideoProgress | None = None

        def show(number: int, total: int) -> None:
            nonlocal bar
            bar = bar or stack.enter_context(VideoProgress(total, title='copying videos'))
            bar.advance(number)

        report = copy_index(args.index, args.to, index_type=args.index_type, on_progress=show)
    for path, reason in report.damaged.items():
        print(f'damaged: {printable(path)}: {printable(reason)}')
    print(f'{report.num_copied} videos copied, {report.num_present} were there')
    others = f'; {report.num_others} of them are not in {args.index}' if report.num_others else ''
    print(f'{args.to}: {report.num_videos} videos, {report.num_windows} windows{others}')
    return int(bool(report.damaged))


COMMANDS = dict(
    info=show_info,
    check=check,
    prune=prune,
    compact=compact,
    export=export,
    copy=copy_videos,
    calibrate=calibrate_index,
)

if __name__ == '__main__':
    sys.exit(main())
