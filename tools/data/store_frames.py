"""Decode the videos of a config once, into a frame store that training and testing read."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ts2net_mm.utils.cli import expecting, key_value, positive_int, run, seconds

EPILOG = """\
Each video is decoded once and resized as the config's pipeline does, up to the
crop. Only frames that its sampling can select are stored: those at the rate of
SampleFramesByRate, those of a sampling without randomness (test_mode), or else
all. They become pictures in LMDB, which FrameStoreInit and FrameStoreDecode read
in a config, see configs/features/frame_store.py.

Videos that are in OUT already are skipped, so the same command continues where
it was stopped. A video whose file has changed is decoded again. Unreadable videos
are named on stderr, and a training treats them like any unreadable video; the
next run of this command tries them again.

exit codes: 0 all are there, 1 some failed or an error, 2 wrong arguments, 130
interrupted with Ctrl-C

example:
  python tools/data/store_frames.py configs/ts2net_msrvtt.py --out data/msrvtt/frames
"""
FLUSH_SECONDS = 1.0
FLUSH_BYTES = 2**26


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', type=Path, help='config file of a training or test')
    parser.add_argument('--out', type=Path, required=True, help='folder of the frame store')
    parser.add_argument(
        '--splits',
        nargs='+',
        choices=('train', 'val', 'test'),
        default=('train', 'val', 'test'),
        help='splits whose videos are stored (default: all that the config has)',
    )
    parser.add_argument(
        '--format',
        choices=('jpeg', 'png', 'bmp'),
        default='jpeg',
        help='of the pictures; png and bmp are lossless, bmp is large and the fastest to read '
        '(default: jpeg)',
    )
    parser.add_argument(
        '--quality', type=_quality, default=95, help='JPEG quality, 1 to 100 (default: 95)'
    )
    parser.add_argument(
        '--timeout',
        type=seconds,
        default=600.0,
        help='seconds for one video, 0 for no limit (default: 600)',
    )
    parser.add_argument(
        '--workers', type=positive_int, help='processes (default: one per CPU core)'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        type=key_value,
        metavar='KEY=VALUE',
        help='settings that replace those of the config',
    )
    args = parser.parse_args(argv)
    if not args.config.is_file():
        parser.error(f'config {args.config} does not exist')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Store and return the exit code."""
    args = parse_args(argv)
    return run(
        lambda: 1 if store(args) else 0,
        explain=expecting(OSError, RuntimeError, ValueError),
        when_stopped='the same command continues where this one stopped',
    )


def store(args: argparse.Namespace) -> dict[str, str]:
    """Store what is not there yet; return the reason for each video that failed."""
    from ts2net_mm.datasets.frame_store import StoredVideo
    from ts2net_mm.preparation.storing import (
        FrameStoreWriter,
        PictureFormat,
        VideoStorer,
        videos_to_store,
    )
    from ts2net_mm.utils.progress import VideoProgress
    from ts2net_mm.utils.workers import Failure, map_in_workers

    videos, steps = videos_to_store(read_config(args), args.splits)
    pictures = PictureFormat(args.format, args.quality)
    storer = VideoStorer(steps, pictures)
    writer = FrameStoreWriter(args.out, steps[0].settings | pictures.settings)
    failed: dict[str, str] = {}
    with writer.opened():
        todo = [video for video in videos if not storer.is_done(video, writer.video(video.name))]
        next_flush = time.monotonic() + FLUSH_SECONDS
        with VideoProgress(len(todo), title='storing frames') as bar:
            for video, result in map_in_workers(
                storer, todo, num_workers=args.workers, ordered=False, timeout=args.timeout
            ):
                if isinstance(result, Failure):
                    failed[video.path] = result.reason
                    status = os.stat(video.path)
                    bad = StoredVideo(
                        video.name, status.st_size, status.st_mtime_ns, reason=result.reason
                    )
                    writer.add(bad, {})
                else:
                    writer.add(*result)
                if time.monotonic() > next_flush or writer.pending_bytes > FLUSH_BYTES:
                    writer.flush()
                    next_flush = time.monotonic() + FLUSH_SECONDS
                bar.advance(1)
    report(args.out, len(videos), len(todo), failed)
    return failed


def read_config(args: argparse.Namespace):
    """Read the config with the command line's changes."""
    from mmengine.config import Config, DictAction
    from mmengine.registry import init_default_scope

    from ts2net_mm.utils.text import one_line

    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    try:
        cfg = Config.fromfile(args.config)
    except Exception as error:  # a config is code: it may raise anything
        raise ValueError(f'config {args.config} cannot be read: {one_line(error)}') from error
    if args.cfg_options:
        options = parser.parse_args(['--cfg-options', *args.cfg_options]).cfg_options
        cfg.merge_from_dict(options)
    init_default_scope(cfg.get('default_scope') or 'mmaction')
    return cfg


def report(folder: Path, total: int, planned: int, failed: dict[str, str]) -> None:
    """Print what was done, and name what failed."""
    from ts2net_mm.utils.text import printable

    size = sum(path.stat().st_size for path in folder.iterdir())
    print(
        f'{folder}: {total:,} videos, {size / 1e6:,.1f} MB; {planned:,} were to do, '
        f'{len(failed):,} failed'
    )
    if failed:
        print('failed:', file=sys.stderr)
    for name, reason in sorted(failed.items()):
        print(f'  {printable(name)}: {printable(reason)}', file=sys.stderr)


def _quality(text: str) -> int:
    value = positive_int(text)
    if value > 100:
        raise argparse.ArgumentTypeError(f'{text!r} is above 100')
    return value


if __name__ == '__main__':
    sys.exit(main())
