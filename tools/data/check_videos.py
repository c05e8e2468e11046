"""Open every video of annotation files, and name those that a training could not read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ts2net_mm.utils.cli import expecting, positive_float, positive_int, run, seconds

EPILOG = """\
Each video is read as in a training: the same frames, by the same steps, in a
guarded process. A video that crashes the decoder or hangs is named like any
other bad video.

exit codes: 0 all are good, 1 some are bad or an error, 2 wrong arguments, 130
interrupted with Ctrl-C

example:
  python tools/data/check_videos.py data/msrvtt/train_9k.json data/msrvtt/test_1ka.json
"""
GRACE = 180.0  # seconds beyond both limits of the guard, above all for the start of its process


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'annotations', nargs='+', type=Path, metavar='JSON', help='annotation files'
    )
    parser.add_argument(
        '--videos',
        type=Path,
        metavar='DIR',
        help='folder of the videos (default: the folder "videos" next to each annotation file)',
    )
    parser.add_argument(
        '--min-seconds', type=seconds, default=0.0, help='shorter videos are bad (default: 0)'
    )
    parser.add_argument(
        '--num-frames',
        type=positive_int,
        default=12,
        help='frames of an item (default: 12)',
    )
    parser.add_argument(
        '--decoder',
        choices=('pyav', 'decord'),
        default='pyav',
        help='as in VideoInit of the config (default: pyav)',
    )
    parser.add_argument(
        '--timeout',
        type=positive_float,
        default=60.0,
        help='seconds for opening a video, and again for its frames (default: 60)',
    )
    parser.add_argument('--jobs', type=positive_int, help='processes (default: one per CPU core)')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Check and return the exit code."""
    args = parse_args(argv)
    return run(
        lambda: 1 if check(args) else 0, explain=expecting(OSError, RuntimeError, ValueError)
    )


def check(args: argparse.Namespace) -> dict[str, str]:
    """Check, print, and return the reason for each bad video."""
    from ts2net_mm.datasets.annotation import load_annotations
    from ts2net_mm.preparation.checking import Checker, describe_facts, videos_to_check
    from ts2net_mm.utils.progress import VideoProgress
    from ts2net_mm.utils.text import printable
    from ts2net_mm.utils.workers import Failure, map_in_workers

    listed = [
        video
        for path in args.annotations
        for video in videos_to_check(load_annotations(path), args.videos or path.parent / 'videos')
    ]
    videos = list(dict.fromkeys(listed))
    bad: dict[str, str] = {}
    facts = []
    checker = Checker(args.min_seconds, args.num_frames, args.decoder, args.timeout)
    results = map_in_workers(
        checker,
        videos,
        num_workers=args.jobs,
        ordered=False,
        timeout=2 * args.timeout + GRACE,
    )
    with VideoProgress(len(videos), title='checking videos') as bar:
        for video, result in results:
            if isinstance(result, Failure):
                bad[str(video.path)] = result.reason
            else:
                facts.append(result)
            bar.advance(1)
    print(f'{len(videos):,} videos, {len(bad):,} bad')
    for line in describe_facts(facts, args.num_frames):
        print(line)
    if bad:
        print('bad videos:', file=sys.stderr)
    for name, reason in sorted(bad.items()):
        print(f'  {printable(name)}: {printable(reason)}', file=sys.stderr)
    return bad


if __name__ == '__main__':
    sys.exit(main())
