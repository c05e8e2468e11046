"""Strip a training checkpoint for release, and put its hash into its name."""

import argparse
import sys
from pathlib import Path

EPILOG = """\
Optimiser, schedule and message hub are removed; weights, config and versions are
kept. The first eight digits of the file's SHA-256 are added to its name, as in
OpenMMLab's model zoos.

example:
  python tools/publish_model.py work_dirs/msrvtt/epoch_5.pth ts2net_vit-b32_msrvtt.pth
"""


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', metavar='SRC', type=Path, help='training checkpoint')
    parser.add_argument(
        'dst', metavar='DST', type=Path, help='file to write; the hash is added to its name'
    )
    return parser


def main() -> int:
    """Run the command line and return the exit code."""
    parser = build_parser()
    args = parser.parse_args()
    if args.dst.suffix != '.pth':
        parser.error(f'{args.dst} must end in .pth')
    # imported here, so that --help and wrong arguments do not wait for torch
    from ts2net_mm.utils.cli import run

    return run(strip, args)


def strip(args: argparse.Namespace) -> None:
    """Write the stripped checkpoint, and print its path."""
    from ts2net_mm.utils.cli import require_path

    require_path('checkpoint', args.src)
    from ts2net_mm.checkpoints import publish

    print(publish(args.src, args.dst))


if __name__ == '__main__':
    sys.exit(main())
