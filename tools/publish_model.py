"""Make a checkpoint ready to publish: without the training's state, its hash in its name."""

import argparse
import sys
from pathlib import Path

EPILOG = """\
Optimiser, schedule and message hub are left out; weights, config and versions
stay. The file's name gets the first eight digits of its SHA-256, as in OpenMMLab's
model zoos.

example:
  python tools/publish_model.py work_dirs/msrvtt/epoch_5.pth ts2net_vit-b32_msrvtt.pth
"""


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', metavar='SRC', type=Path, help='checkpoint of a training')
    parser.add_argument('dst', metavar='DST', type=Path, help='file to write, before the hash')
    return parser


def main() -> int:
    """Run the command line and return the exit code."""
    parser = build_parser()
    args = parser.parse_args()
    if args.dst.suffix != '.pth':
        parser.error(f'{args.dst} must end in .pth')
    # here, so that --help and wrong arguments need no torch
    from ts2net_mm.utils.cli import run

    return run(strip, args)


def strip(args: argparse.Namespace) -> None:
    """Write what others need of a checkpoint, and say where."""
    from ts2net_mm.utils.cli import require_path

    require_path('checkpoint', args.src)
    from ts2net_mm.checkpoints import publish

    print(publish(args.src, args.dst))


if __name__ == '__main__':
    sys.exit(main())
