"""Prepare lists of pairs of your own: a JSON list, JSON lines, CSV or TSV for each split."""

import argparse
import sys
from collections.abc import Sequence


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only lists of pairs have."""
    from ts2net_mm.preparation.readers.pairs import CAPTION_KEYS, VIDEO_KEYS

    parser.add_argument(
        '--video-key',
        metavar='NAME',
        help=f'field that names the video (default: the first of {", ".join(VIDEO_KEYS)})',
    )
    parser.add_argument(
        '--caption-key',
        metavar='NAME',
        help=f'field of the captions (default: the first of {", ".join(CAPTION_KEYS)})',
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare and return the exit code."""
    from ts2net_mm.preparation import read_pairs, run_preparation

    return run_preparation(
        read_pairs,
        argv,
        description=__doc__,
        out='the data_root that you give it',
        add_arguments=add_arguments,
        from_files=True,
    )


if __name__ == '__main__':
    sys.exit(main())
