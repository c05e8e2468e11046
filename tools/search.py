"""Search the videos of a folder or an index, and moments in them, by sentences."""

from __future__ import annotations

import argparse
import contextlib
import mimetypes
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ts2net_mm.search.arguments import (
    add_encoding_arguments,
    check_window_arguments,
    choose_windowing,
)
from ts2net_mm.search.command import (
    add_index_arguments,
    check_index_arguments,
    is_index,
    search_index,
)
from ts2net_mm.utils.cli import is_missing_weights, positive_int, require_path, run, sentence
from ts2net_mm.utils.files import check_folder, ensure_writable
from ts2net_mm.utils.text import printable

if TYPE_CHECKING:
    from ts2net_mm.apis import RetrievalInferencer
    from ts2net_mm.search.folders import FolderIndex

CONFIG_SUFFIXES = ('.py', '.yaml', '.yml', '.json')
MIME_TYPES = mimetypes.MimeTypes()
NO_MEDIA = ('text/', 'application/json', 'application/x-python')

EPILOG = """\
Hits name the moment of a video that fits best: its start and end, and the time
of its best frame. A video longer than two windows is cut into windows that
overlap by half, each as long as the frames that the model takes: 12 seconds for
12 frames at 1 a second. --whole keeps every video whole.

The score is the model's similarity of sentence and window without the logit
scale: a cosine, weighted over the frames, between -1 and 1. It ranks the videos
of one sentence and is not a probability.

The folder's videos are encoded once, into an index in the cache folder, one for
each folder, model and kind of windows. Later runs encode new and changed videos,
by path, size and modification time. The cache may be deleted at any time.

Every file is tried, whatever its ending, except hidden ones. Videos that cannot
be read are skipped, named with the reason on stderr and tried again when they
change; one that hangs is skipped after a minute, and tried again in the next run.
Files with other endings that are not videos are counted.

An index of tools/encode.py is searched as it is: nothing is encoded, and the
model is not built where the index has a copy of its text encoder. A result is
certain unless the table says that it is not.

--json prints one object and nothing else on stdout, for a folder:
  {"folder": the searched folder, "videos": their number, "skipped": {name: reason},
   "left": {ending: number of files that are not videos},
   "queries": [{"query": the query, "exact": whether no other video can fit better,
     "calibrated": whether calibrated scores rank the hits,
     "hits": [{"rank": from 1, "score": number, "name": path inside the folder,
       "video": absolute path, "duration": seconds, null if unknown,
       "best_seconds": presentation time of its best frame, null if unknown,
       "moments": [{"start", "end", "score", "best_seconds"}]}]}]}

and for an index "index": its folder, instead of "folder", "skipped", "left" and
"name". With --minus there is also "minus": that sentence. With --calibrated each hit
also has "calibrated": its calibrated score. "score" is what it is without.

The page of --html shows the frames of each hit and plays it from the best one.
The page may be moved. The videos may not: it opens them at their absolute paths.

exit codes: 0 found, 1 error, 2 wrong arguments, 130 interrupted with Ctrl-C,
143 terminated (encoded videos are kept)

example:
  python tools/search.py configs/ts2net_moving-shapes.py model.pth videos \\
      'a red circle moves left and then grows' --topk 3 --html found.html
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
        'folder',
        help='folder with videos, also in sub-folders, or an index of tools/encode.py: its folder, '
        'or its address in Milvus (gallery.db or http://host:19530)',
    )
    parser.add_argument(
        'sentence', nargs='*', type=sentence, help='what to search for; one table each'
    )
    parser.add_argument(
        '--topk', type=positive_int, default=5, help='hits per sentence (default: 5)'
    )
    parser.add_argument('--json', action='store_true', help='print JSON instead of tables')
    parser.add_argument('--html', metavar='FILE', help='also write a page with frames of each hit')
    parser.add_argument(
        '--device',
        type=_device,
        help="such as 'cpu' or 'cuda:1' (default: a GPU if there is one)",
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='encode in half precision: bf16 on a CPU, fp16 on a GPU (has an index of its own)',
    )
    parser.add_argument(
        '--cache-dir', help='folder for encoded videos (default: ~/.cache/ts2net_mm)'
    )
    add_index_arguments(parser)
    add_encoding_arguments(parser)
    args = parser.parse_args(argv)
    if not args.sentence and not args.like:
        parser.error('there is nothing to search for: name a sentence')
    check_window_arguments(parser, args)
    check_index_arguments(parser, args)
    if is_index(args.folder):
        for name in ('amp', 'whole', 'window', 'stride'):
            if getattr(args, name):
                parser.error(f'--{name} is for a folder of videos, and {args.folder} is an index')
    return args


def check_paths(args: argparse.Namespace) -> None:
    """Raise an error for a path that cannot be used, before the imports that take seconds."""
    require_path('config', args.config)
    if Path(args.config).suffix not in CONFIG_SUFFIXES:
        raise ValueError(
            f'config {args.config} is not a config, expected a file in {", ".join(CONFIG_SUFFIXES)}'
        )
    if is_missing_weights(args.checkpoint):
        raise FileNotFoundError(
            f'checkpoint {args.checkpoint} does not exist and is not a name like ViT-B/32'
        )
    if not is_index(args.folder):
        require_path('video folder', args.folder)
        if not (folder := Path(args.folder).expanduser()).is_dir():
            raise NotADirectoryError(f'{args.folder} is a file, expected a folder of videos')
        if not _may_hold_videos(folder):
            raise ValueError(f'there is no video file in {args.folder}')
    if args.html:
        ensure_writable(args.html, 'page')
    if args.cache_dir:
        check_folder(args.cache_dir, 'cache folder')


def main(argv: Sequence[str] | None = None) -> int:
    """Search, print, and return the exit code."""
    return run(search, parse_args(argv))


def search(args: argparse.Namespace) -> None:
    """Search the videos, print the hits, and write the page if there is to be one."""
    check_paths(args)
    if is_index(args.folder):
        search_index(args)
        return
    # keep the output of libraries and loggers out of the results
    with contextlib.redirect_stdout(sys.stderr):
        folder, inferencer = open_folder(args)
        report(folder)
    from ts2net_mm.search.folders import naming_cache

    with naming_cache(folder.place):
        search_index(args, folder, inferencer)


def open_folder(args: argparse.Namespace) -> tuple[FolderIndex, RetrievalInferencer]:
    """Build the model, and bring the index of a folder up to date."""
    from ts2net_mm.apis import RetrievalInferencer
    from ts2net_mm.apis.inferencer import load_config
    from ts2net_mm.apis.reading import split_test_pipeline
    from ts2net_mm.search.folders import ListedFolder, update_folder_index

    pipeline, _ = split_test_pipeline(load_config(args.config))
    listed = ListedFolder.from_folder(args.folder, pipeline)  # raises before the model is loaded
    windowing = choose_windowing(args, pipeline)
    inferencer = RetrievalInferencer(args.config, args.checkpoint, device=args.device, amp=args.amp)
    folder = update_folder_index(
        listed,
        inferencer,
        windowing=windowing,
        cache_dir=args.cache_dir,
        batch_size=args.batch_size,
        num_workers=args.workers,
        progress=True,
    )
    return folder, inferencer


def report(folder: FolderIndex) -> None:
    """Print on stderr how many videos were encoded, and which files are not searched."""
    from ts2net_mm.video.video_files import describe_endings

    found = folder.report
    total = found.num_known + found.num_encoded
    counts = [f'{total} videos', f'{found.num_encoded} of them encoded now']
    if folder.num_dropped:
        counts.append(f'{folder.num_dropped} missing since the last time')
    print(', '.join(counts), file=sys.stderr)
    if skipped := found.skipped_videos:
        print(f'skipped {len(skipped)} videos that cannot be read:', file=sys.stderr)
        for path, reason in skipped.items():
            print(f'  {printable(folder.name_of(path))}: {printable(reason)}', file=sys.stderr)
    if others := found.others:
        number, endings = sum(others.values()), describe_endings(others)
        print(f'{number:,} files are not videos: {printable(endings)}', file=sys.stderr)


def _may_hold_videos(folder: Path) -> bool:
    """Tell by the endings whether any file may be a video or a picture."""
    for parent, subfolders, names in os.walk(folder):
        kinds = (MIME_TYPES.guess_type(f'x{Path(name).suffix.lower()}')[0] for name in names)
        if any(kind is None or not kind.startswith(NO_MEDIA) for kind in kinds):
            return True
        if any(Path(parent, subfolder).is_symlink() for subfolder in subfolders):
            return True
    return False


def _device(text: str) -> str:
    if not re.fullmatch(r'[a-z]+(:\d+)?', text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a device like 'cpu' or 'cuda:1'")
    return text


if __name__ == '__main__':
    sys.exit(main())
