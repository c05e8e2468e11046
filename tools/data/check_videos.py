"""Open every video of annotation files, and name those that a training could not read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

EPILOG = """\
decord reads the first and the last frame of each video, in processes of their
own: one that crashes or hangs is named like any other bad video.

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
        help='frames of an item, to count the videos that have fewer (default: 12)',
    )
    parser.add_argument(
        '--timeout',
        type=_seconds,
        default=60.0,
        help='seconds for one video, 0 for any time (default: 60)',
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
    from ts2net_mm.datasets.moving_shapes.processes import available_cpus
    from ts2net_mm.preparation.checking import Checker, describe_facts, videos_to_check
    from ts2net_mm.preparation.processes import work_on_each

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
        checker = Checker(args.min_seconds)
        for video, result in work_on_each(checker, videos, jobs=jobs, timeout=args.timeout):
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


if __name__ == '__main__':
    sys.exit(main())
