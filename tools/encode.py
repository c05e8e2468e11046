"""Encode the videos of a folder or a list into an index, which tools/search.py searches."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ts2net_mm.search.arguments import (
    add_encoding_arguments,
    check_window_arguments,
    choose_windowing,
)
from ts2net_mm.search.description import DESCRIPTION
from ts2net_mm.search.milvus_client import is_milvus_address, require_milvus, split_address
from ts2net_mm.utils.cli import is_missing_weights, require_path, run
from ts2net_mm.utils.files import check_folder
from ts2net_mm.utils.text import printable

if TYPE_CHECKING:
    from ts2net_mm.search.encoding import EncodingReport
    from ts2net_mm.search.sharing import Share

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

The index may be in Milvus: a file of Milvus Lite (gallery.db), which one process
opens at a time, or a server (http://host:19530, with the password in MILVUS_TOKEN),
which any number of processes share. #name at the end names one of several in a
database.

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
    parser.add_argument(
        '--index',
        required=True,
        metavar='PLACE',
        help='folder of the index, or its address in Milvus: gallery.db, http://host:19530',
    )
    parser.add_argument(
        '--fp16', action='store_true', help='store frames in half precision, half as large'
    )
    parser.add_argument(
        '--device', help="such as 'cpu' or 'cuda:1' (default: the GPU of the process, if any)"
    )
    add_encoding_arguments(parser)
    args = parser.parse_args(argv)
    check_window_arguments(parser, args)
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Encode, report, and return the exit code."""
    return run(encode, parse_args(argv), when_stopped='encoded videos are kept in the index')


def encode(args: argparse.Namespace) -> None:
    """Encode what is missing, and report."""
    check_paths(args)
    check_index(args.index, os.environ)
    with contextlib.redirect_stdout(sys.stderr):
        from ts2net_mm.apis import RetrievalInferencer
        from ts2net_mm.apis.inferencer import load_config
        from ts2net_mm.apis.reading import find_readable, split_test_pipeline
        from ts2net_mm.search.encoding import encode_into
        from ts2net_mm.search.sharing import Progress, Share, index_path
        from ts2net_mm.search.targets import Target
        from ts2net_mm.search.text_encoder import copy_text_encoder, source_of
        from ts2net_mm.video.video_files import read_video_list

        share = Share.from_environment(os.environ)
        pipeline, _ = split_test_pipeline(load_config(args.config))
        if Path(args.videos).expanduser().is_dir():
            files = find_readable(args.videos, pipeline)
        else:
            files = read_video_list(args.videos)
        place = split_address(args.index)[0] if is_milvus_address(args.index) else args.index
        inside = os.path.join(os.path.abspath(Path(place).expanduser()), '')
        files = [file for file in files if not index_path(file).startswith(inside)]
        windowing = choose_windowing(args, pipeline)
        with Target(args.index) as target:
            inferencer = RetrievalInferencer(
                args.config, args.checkpoint, device=args.device or own_device(os.environ)
            )
            with Progress(target, files, share) as progress:
                report = encode_into(
                    target,
                    share.of(files),
                    inferencer,
                    windowing=windowing,
                    dtype='float16' if args.fp16 else 'float32',
                    batch_size=args.batch_size,
                    num_workers=args.workers,
                    on_progress=progress.advance,
                )
        has_videos = report.num_known + report.num_encoded > 0
        if share.rank == 0 and has_videos and not is_milvus_address(args.index):
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


def check_index(address: str, environment: Mapping[str, str]) -> None:
    """Raise an error for an index that cannot be made, before the imports that take seconds."""
    if is_milvus_address(address):
        check_database(address, environment)
        return
    index = check_folder(address, 'index folder')
    has_files = index.is_dir() and any(not path.name.startswith('.') for path in index.iterdir())
    if has_files and not (index / DESCRIPTION).exists():
        raise FileExistsError(f'{index} is no index and not empty: choose another folder')


def check_database(address: str, environment: Mapping[str, str]) -> None:
    """Raise an error for a database that cannot be opened, as far as that can be seen."""
    from ts2net_mm.search.sharing import Share

    place, _ = split_address(address)
    require_milvus(place)
    if not place.endswith('.db'):
        return
    check_folder(Path(place).expanduser().absolute().parent, 'folder of the database')
    if (number := Share.from_environment(environment).num_processes) > 1:
        raise ValueError(
            f'{place} is a file of Milvus Lite, which one process opens, and there are {number}: '
            f'start `milvus-lite server --data-dir {place}` and give its http:// address'
        )


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
    if skipped := report.skipped_videos:
        print(f'skipped {len(skipped)} videos{whose} that cannot be read:')
        for path, reason in skipped.items():
            print(f'  {printable(path)}: {printable(reason)}')
    if others := report.others:
        from ts2net_mm.video.video_files import describe_endings

        endings = printable(describe_endings(others))
        print(f'{sum(others.values()):,} files{whose} are not videos: {endings}')


if __name__ == '__main__':
    sys.exit(main())
