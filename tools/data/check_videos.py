"""Open every video of annotation files, and name those that a training could not read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

EPILOG = """\
Each video is read as a training reads it: the same frames, by the same steps,
guarded alike. So what is good here is read there, and what crashes or hangs is
named like any other bad video.

exit codes: 0 all are good, 1 some are bad or an error, 2 wrong arguments, 130
broken off with Ctrl-C

example:
  python tools/data/check_videos.py data/msrvtt/train_9k.json data/msrvtt/test_1ka.json
"""


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
        help='folder that the names in the files start from (default: the folder "videos" beside '
        'each file)',
    )
    parser.add_argument(
        '--min-seconds', type=_seconds, default=0.0, help='shorter videos are bad (default: 0)'
    )
    parser.add_argument(
        '--num-frames',
        type=_positive,
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
        type=_positive_seconds,
        default=60.0,
        help='seconds for opening a video, and again for its frames (default: 60)',
    )
    parser.add_argument('--jobs', type=_positive, help='processes (default: one a CPU core)')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Check and return the exit code."""
    args = parse_args(argv)
    from ts2net_mm.utils.cli import expecting, run

    return run(
        lambda: 1 if check(args) else 0, explain=expecting(OSError, RuntimeError, ValueError)
    )


def check(args: argparse.Namespace) -> dict[str, str]:
    """Check, print, and return the reason for each bad video."""
    from ts2net_mm.apis.progress import VideoProgress
    from ts2net_mm.apis.text import printable
    from ts2net_mm.apis.workers import Failure
    from ts2net_mm.datasets.annotation import load_annotations
    from ts2net_mm.preparation.checking import Checker, describe_facts, videos_to_check
    from ts2net_mm.preparation.processes import work_on_each
    from ts2net_mm.utils.workers import available_cpus

    listed = [
        video
        for path in args.annotations
        for video in videos_to_check(load_annotations(path), args.videos or path.parent / 'videos')
    ]
    videos = list(dict.fromkeys(listed))
    bad: dict[str, str] = {}
    facts = []
    with VideoProgress(len(videos), title='checking videos') as bar:
        jobs = args.jobs or available_cpus()
        checker = Checker(args.min_seconds, args.num_frames, args.decoder, args.timeout)
        for video, result in work_on_each(checker, videos, jobs=jobs):
            if isinstance(result, Failure):
                bad[str(video.path)] = result.reason
            else:
                facts.append(result)
            bar.advance(1)
    print(
        '\n'.join(
            [f'{len(videos):,} videos, {len(bad):,} bad', *describe_facts(facts, args.num_frames)]
        )
    )
    if bad:
        print('bad videos:', file=sys.stderr)
    for name, reason in sorted(bad.items()):
        print(f'  {printable(name)}: {printable(reason)}', file=sys.stderr)
    return bad


def _positive(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is no whole number of at least 1')
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float('inf'):
        raise argparse.ArgumentTypeError(f'{text!r} is no number of seconds')
    return value


def _positive_seconds(text: str) -> float:
    if not (value := _seconds(text)):
        raise argparse.ArgumentTypeError('expected more than 0 seconds')
    return value


if __name__ == '__main__':
    sys.exit(main())
