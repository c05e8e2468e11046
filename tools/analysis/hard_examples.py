"""Write a page of the test pairs that a model gets most wrong, with frames of the videos."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ts2net_mm.utils.cli import positive_int, require_path, run

EPILOG = """\
The matrix is the file that tools/test.py writes with --dump FILE.npz. The page
shows the texts whose video is ranked last, with the videos that are ranked first
instead, and the pairs of videos that take each other's texts. It is
self-contained. Missing and unreadable videos are named on the page and counted on
stderr.

exit codes: 0 done, 1 error, 2 wrong arguments, 130 interrupted with Ctrl-C

example:
  python tools/analysis/hard_examples.py scores.npz hard.html --videos data/msrvtt/videos
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('matrix', type=Path, help='similarity file (.npz) of a test')
    parser.add_argument('page', type=Path, help='the page to write (.html)')
    parser.add_argument(
        '--videos',
        type=Path,
        metavar='FOLDER',
        help='folder of the videos, searched with its sub-folders',
    )
    parser.add_argument(
        '--annotations',
        type=Path,
        metavar='FILE.json',
        help="the test's annotation, for data sets whose videos have a start and an end",
    )
    parser.add_argument(
        '--count', type=positive_int, default=20, help='texts and pairs to show (default: 20 each)'
    )
    parser.add_argument(
        '--frames', type=positive_int, default=6, help='frames of a video at most (default: 6)'
    )
    parser.add_argument(
        '--workers',
        type=positive_int,
        help='processes that decode (default: one per CPU)',
    )
    return parser.parse_args(argv)


def show(args: argparse.Namespace) -> None:
    """Find the pairs, read their frames and write the page."""
    require_path('similarity file', args.matrix)
    if args.videos is not None:
        require_path('video folder', args.videos)
    from page import write_page

    from ts2net_mm.evaluation import (
        load_similarity,
        most_confused_pairs,
        retrieval_metrics,
        worst_ranked_texts,
    )
    from ts2net_mm.utils.files import ensure_writable
    from ts2net_mm.utils.workers import Failure

    place = ensure_writable(args.page, 'page')
    test = load_similarity(args.matrix)
    matrix = (test.similarity, test.video_of_text)
    worst = worst_ranked_texts(*matrix, count=args.count)
    confused = most_confused_pairs(*matrix, count=args.count)
    shown = [int(test.video_of_text[item.text]) for item in worst]
    shown += [video for item in worst for video in item.best_videos]
    shown += [video for pair in confused for video in pair.videos]
    strips = read_frames(args, list(dict.fromkeys(test.video_ids[video] for video in shown)))
    missing = [name for name, strip in strips.items() if isinstance(strip, Failure)]
    metrics = retrieval_metrics(*matrix)
    summary = [
        f'{len(test.captions)} texts, {len(test.video_ids)} videos; text to video: R@1 '
        f'{metrics["t2v/R1"]:.1f}, median rank {metrics["t2v/MdR"]:.1f}, mean rank '
        f'{metrics["t2v/MnR"]:.1f}'
    ]
    if missing:
        summary.append(f'{len(missing)} of the {len(strips)} videos shown have no frames here.')
    write_page(place, args.matrix.name, summary, test, worst, confused, strips)
    if missing:
        print(f'no frames of {len(missing)} of {len(strips)} videos', file=sys.stderr)
    print(f'page: {args.page}')


def read_frames(args: argparse.Namespace, video_ids: list[str]) -> dict:
    """Read the frames of each video, or the reason why there are none."""
    from clips import locate, read_strips

    from ts2net_mm.datasets.annotation import load_annotations
    from ts2net_mm.utils.workers import Failure

    annotations = {}
    if args.annotations is not None:
        annotations = {video.video_id: video for video in load_annotations(args.annotations)}
    if args.videos is None:
        return dict.fromkeys(video_ids, Failure('--videos was not given'))
    clips = locate(args.videos, video_ids, annotations)
    return read_strips(clips, num_frames=args.frames, num_workers=args.workers)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run(show, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
