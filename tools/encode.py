"""Encode the videos of a folder or a list into an index, which tools/search.py searches."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ts2net_mm.utils.cli import (
    is_missing_weights,
    positive_float,
    positive_int,
    require_path,
    run,
)
from ts2net_mm.utils.files import ensure_folder
from ts2net_mm.utils.text import printable

if TYPE_CHECKING:
    from ts2net_mm.search.encoding import EncodingReport
    from ts2net_mm.search.sharing import Share
    from ts2net_mm.search.windows import Windowing

EPILOG = """\
Videos longer than two windows are cut into overlapping windows, so that a search
finds moments. By default a window is as long as the frames that the model takes,
12 seconds for 12 frames at 1 a second; --whole keeps every video whole.

The command may be repeated, and interrupted or killed at any moment: videos that
are in the index are not encoded again unless they changed. Videos that cannot be
read are listed at the end, and tried again when they change.

Several processes share the work if torchrun or Slurm starts them, on machines
that see the same files and the same index. Each encodes the videos whose path is
dealt to it, and none waits for another. If one is lost the others continue, and
the next run encodes what is missing:

  torchrun --nproc-per-node 8 tools/encode.py CONFIG CHECKPOINT videos --index index
  srun --ntasks 64 python tools/encode.py CONFIG CHECKPOINT videos --index index

torchrun ends all processes when one is lost; --max-restarts 10 starts them again.
Without a launcher, RANK and WORLD_SIZE in the environment do the same.

exit codes: 0 done, 1 error, 2 wrong arguments, 130 interrupted with Ctrl-C,
143 terminated (encoded videos are kept)
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file of the model')
    parser.add_argument('checkpoint', help='weights of that model, in any format')
    parser.add_argument(
        'videos', help='folder with videos, also in sub-folders, or a text file with a path a line'
    )
    parser.add_argument('--index', required=True, metavar='DIR', help='folder of the index')
    parser.add_argument('--whole', action='store_true', help='do not cut long videos')
    parser.add_argument('--window', type=positive_float, help='seconds of a window')
    parser.add_argument(
        '--stride',
        type=positive_float,
        help='seconds between the starts of two windows (default: half a window)',
    )
    parser.add_argument(
        '--fp16', action='store_true', help='store frames in half precision, half as large'
    )
    parser.add_argument(
        '--device', help="such as 'cpu' or 'cuda:1' (default: the GPU of the process, if any)"
    )
    parser.add_argument(
        '--batch-size', type=positive_int, default=8, help='windows per batch (default: 8)'
    )
    parser.add_argument(
        '--workers',
        type=positive_int,
        help='processes that decode (default: one per CPU core, at most 8)',
    )
    args = parser.parse_args(argv)
    if args.whole and (args.window or args.stride):
        parser.error('--whole does not cut videos, so it excludes --window and --stride')
    if args.stride and not args.window:
        parser.error('--stride needs --window')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Encode, report, and return the exit code."""
    return run(encode, parse_args(argv), when_stopped='encoded videos are kept in the index')


def encode(args: argparse.Namespace) -> None:
    """Encode what is missing, and report."""
    check_paths(args)
    with contextlib.redirect_stdout(sys.stderr):
        from ts2net_mm.apis import RetrievalInferencer
        from ts2net_mm.apis.inferencer import load_config
        from ts2net_mm.apis.reading import find_readable, split_test_pipeline
        from ts2net_mm.search.encoding import encode_into
        from ts2net_mm.search.sharing import Progress, Share
        from ts2net_mm.search.text_encoder import copy_text_encoder, source_of
        from ts2net_mm.video.video_files import read_video_list

        share = Share.from_environment(os.environ)
        pipeline, _ = split_test_pipeline(load_config(args.config))
        if Path(args.videos).expanduser().is_dir():
            files = find_readable(args.videos, pipeline)
        else:
            files = read_video_list(args.videos)
        windowing = choose_windowing(args, pipeline)
        inferencer = RetrievalInferencer(
            args.config, args.checkpoint, device=args.device or own_device(os.environ)
        )
        with Progress(args.index, files, share) as progress:
            report = encode_into(
                args.index,
                share.of(files),
                inferencer,
                windowing=windowing,
                dtype='float16' if args.fp16 else 'float32',
                batch_size=args.batch_size,
                num_workers=args.workers,
                on_progress=progress.advance,
            )
        if share.rank == 0 and report.num_known + report.num_encoded:
            copy_text_encoder(args.index, inferencer, source_of(args.config, args.checkpoint))
    print_report(report, share)


def check_paths(args: argparse.Namespace) -> None:
    """Raise an error for a path that cannot be used, before the imports that take seconds."""
    require_path('config', args.config)
    if is_missing_weights(args.checkpoint):
        raise FileNotFoundError(
            f'checkpoint {args.checkpoint} does not exist and is not a name like ViT-B/32'
        )
    require_path('folder or list of videos', args.videos)
    ensure_folder(args.index, 'index folder')


def choose_windowing(args: argparse.Namespace, pipeline: list[dict]) -> Windowing | None:
    """Return how videos are cut; None keeps them whole."""
    from ts2net_mm.search.windows import Windowing, default_windowing

    if args.whole:
        return None
    if args.window:
        return Windowing(args.window, args.stride or 0.0)
    windowing = default_windowing(pipeline)
    if windowing is None:
        print(
            'the model does not sample frames by rate, so videos stay whole; --window cuts them',
            file=sys.stderr,
        )
    return windowing


def own_device(environment: Mapping[str, str]) -> str | None:
    """Return the GPU of this process among those of its machine; None for the default."""
    import torch

    local = environment.get('LOCAL_RANK') or environment.get('SLURM_LOCALID')
    if local is None or not torch.cuda.is_available():
        return None
    return f'cuda:{int(local) % torch.cuda.device_count()}'


def print_report(report: EncodingReport, share: Share) -> None:
    """Print how many videos of this process are in the index, and which cannot be read."""
    whose = f' of process {share.rank}' if share.num_processes > 1 else ''
    total = report.num_known + report.num_encoded
    print(f'{total} videos{whose} are in the index, {report.num_encoded} of them encoded now')
    if report.skipped:
        print(f'skipped {len(report.skipped)} videos{whose} that cannot be read:')
    for path, reason in report.skipped.items():
        print(f'  {printable(path)}: {printable(reason)}')


if __name__ == '__main__':
    sys.exit(main())
