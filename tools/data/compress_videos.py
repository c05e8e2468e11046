"""Compress the videos of a folder: few frames per second, small pictures, no sound."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ts2net_mm.utils.cli import expecting, positive_int, run, seconds

if TYPE_CHECKING:
    from ts2net_mm.preparation.compression import CompressionPlan

EPILOG = """\
Each video becomes an .mp4 (H.264) in the same sub-folder of OUT; where videos
differ in the extension only, x.mov becomes x.mov.mp4. A file appears there only
when it is complete: ffmpeg has succeeded, its first and last frame can be
read, and it is as long as the original. Pixels become square. If a video begins
after its sound, its first picture is shown until then. Videos that are in OUT
already are skipped, so the same command continues where it was stopped. Only one
run at a time may write to a folder.

What cannot be compressed is named with ffmpeg's reason on stderr and in
OUT/failed_videos.txt.

exit codes: 0 all are there, 1 some failed or an error, 2 wrong arguments, 130
interrupted with Ctrl-C

example:
  python tools/data/compress_videos.py MSRVTT/videos MSRVTT/videos_3fps --jobs 16
"""
FAILED_FILE = 'failed_videos.txt'


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', type=Path, metavar='IN', help='folder of the videos')
    parser.add_argument('target', type=Path, metavar='OUT', help='folder of the small versions')
    parser.add_argument(
        '--fps', type=positive_int, default=3, help='frames per second, an integer (default: 3)'
    )
    parser.add_argument(
        '--short-side',
        type=_side,
        default=224,
        help='pixels of the shorter side; a smaller video keeps its size (default: 224)',
    )
    parser.add_argument(
        '--timeout',
        type=seconds,
        default=3600.0,
        help='seconds for one video, 0 for no limit (default: 3600)',
    )
    parser.add_argument(
        '--jobs', type=positive_int, help='videos at a time (default: one per CPU core)'
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Compress and return the exit code."""
    args = parse_args(argv)
    return run(
        lambda: 1 if compress(args) else 0,
        explain=expecting(OSError, RuntimeError, ValueError),
        when_stopped='the same command continues where this one stopped',
    )


def compress(args: argparse.Namespace) -> dict[str, str]:
    """Compress what is not there yet; return the reason for each video that failed."""
    from ts2net_mm.preparation.compression import Compressor, find_ffmpeg, plan_compression
    from ts2net_mm.utils.progress import VideoProgress
    from ts2net_mm.utils.workers import Failure, map_in_workers

    plan = plan_compression(args.source, args.target)
    failed: dict[str, str] = {}
    with (
        Compressor(find_ffmpeg(), args.target, args.fps, args.short_side).opened() as compressor,
        VideoProgress(len(plan.videos), title='compressing videos') as bar,
    ):
        for item, result in map_in_workers(
            compressor, plan.videos, num_workers=args.jobs, ordered=False, timeout=args.timeout
        ):
            if isinstance(result, Failure):
                failed[item.source.relative_to(args.source).as_posix()] = result.reason
            bar.advance(1)
    report(args.target, plan, failed)
    return failed


def report(target: Path, plan: CompressionPlan, failed: dict[str, str]) -> None:
    """Print what was done, and name what failed on stderr and in a file."""
    from ts2net_mm.utils.files import write_text
    from ts2net_mm.utils.text import printable
    from ts2net_mm.video.video_files import describe_endings

    lines = [f'{printable(name)}: {printable(reason)}' for name, reason in sorted(failed.items())]
    (target / FAILED_FILE).unlink(missing_ok=True)
    total = sum(1 for _ in target.rglob('*.mp4'))
    print(f'{target}: {total} videos; {len(plan.videos)} were to do, {len(failed)} failed')
    if plan.ignored:
        number, endings = sum(plan.ignored.values()), describe_endings(plan.ignored)
        print(f'{number} files are no videos by their ending: {endings}')
    if lines:
        write_text(target / FAILED_FILE, ''.join(f'{line}\n' for line in lines))
        print('\n'.join(['failed:', *(f'  {line}' for line in lines)]), file=sys.stderr)


def _side(text: str) -> int:
    value = positive_int(text)
    if value % 2:
        raise argparse.ArgumentTypeError(f'{text} is odd; H.264 needs even sides')
    return value


if __name__ == '__main__':
    sys.exit(main())
