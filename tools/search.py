"""Search the videos of a folder by sentences."""

from __future__ import annotations

import argparse
import contextlib
import json
import mimetypes
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ts2net_mm.search.command import add_index_arguments, is_index, search_index
from ts2net_mm.utils.cli import is_missing_weights, positive_int, require_path, run
from ts2net_mm.utils.files import ensure_folder, ensure_writable
from ts2net_mm.utils.text import has_words, printable

if TYPE_CHECKING:
    from ts2net_mm.apis import Gallery, RetrievalInferencer, SearchHit

CONFIG_SUFFIXES = ('.py', '.yaml', '.yml', '.json')
MIME_TYPES = mimetypes.MimeTypes()
NO_MEDIA = ('text/', 'application/json', 'application/x-python')

EPILOG = """\
The score is the model's similarity of sentence and video without the logit
scale: a cosine, weighted over the frames, between -1 and 1. It ranks the videos
of one sentence and is not a probability.

The folder's videos are encoded once and kept in the cache folder, one file for
each folder and model. Later runs encode new and changed videos, by path, size
and modification time. The cache may be deleted at any time.

Every file is tried, whatever its ending. Videos that cannot be read are skipped,
named with the reason on stderr and tried again in the next run; one that hangs is
skipped after a minute. Files with other endings that are not videos are counted.

An index of tools/encode.py is searched as it is: nothing is encoded, and the
model is not built where the index has a copy of its text encoder. Hits name the
moment that fits best. A result is certain unless the table says that it is not.

--json prints one object and nothing else on stdout, for a folder:
  {"folder": the searched folder, "videos": their number, "skipped": {name: reason},
   "left": {ending: number of files that are not videos},
   "queries": [{"query": the sentence, "hits": [{"rank": from 1, "score": number,
     "name": path inside the folder, "video": absolute path,
     "best_seconds": presentation time of its best frame, null if unknown}]}]}

and for an index:
  {"index": its folder, "videos": their number, "queries": [{"query": the query,
   "exact": whether no other video can fit better, "hits": [{"rank", "score",
     "video", "duration": seconds, "moments": [{"start", "end", "score",
     "best_seconds"}]}]}]}

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
        help='folder with videos, also in sub-folders, or an index of tools/encode.py, or a copy '
        'of such an index in Milvus (gallery.db or http://host:19530)',
    )
    parser.add_argument(
        'sentence', nargs='*', type=_sentence, help='what to search for; one table each'
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
        help='encode in half precision: bf16 on a CPU, fp16 on a GPU (keeps a cache of its own)',
    )
    parser.add_argument(
        '--batch-size', type=positive_int, default=8, help='videos per batch (default: 8)'
    )
    parser.add_argument(
        '--workers',
        type=positive_int,
        help='processes that decode (default: one per CPU core, at most 8)',
    )
    parser.add_argument(
        '--cache-dir', help='folder for encoded videos (default: ~/.cache/ts2net_mm)'
    )
    add_index_arguments(parser)
    args = parser.parse_args(argv)
    if not args.sentence and not args.like:
        parser.error('there is nothing to search for: name a sentence')
    needs_index = dict(
        like=args.like,
        minus=args.minus,
        under=args.under,
        min_seconds=args.min_seconds,
        max_seconds=args.max_seconds,
        after=args.after,
        before=args.before,
        min_score=args.min_score,
    )
    given = [f'--{name.replace("_", "-")}' for name, value in needs_index.items() if value]
    if given and not is_index(args.folder):
        parser.error(f'{given[0]} needs an index of tools/encode.py instead of a folder of videos')
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
        ensure_folder(args.cache_dir, 'cache folder')


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
        from ts2net_mm.apis import write_html_report

        inferencer, gallery, results = find(args)
    if args.json:
        print_json(gallery, results)
    else:
        for text, hits in results.items():
            print_hits(text, hits)
    if args.html:
        with contextlib.redirect_stdout(sys.stderr):
            write_html_report(
                args.html, results, inferencer, num_videos=len(gallery), num_workers=args.workers
            )
        print(f'page: {args.html}', file=sys.stderr if args.json else sys.stdout)


def find(
    args: argparse.Namespace,
) -> tuple[RetrievalInferencer, Gallery, dict[str, list[SearchHit]]]:
    """Encode new videos of the folder, and rank its videos for each sentence."""
    from ts2net_mm.apis import Gallery, RetrievalInferencer
    from ts2net_mm.apis.inferencer import load_config
    from ts2net_mm.apis.reading import find_readable, split_test_pipeline

    pipeline, _ = split_test_pipeline(load_config(args.config))
    find_readable(args.folder, pipeline)  # raises before the model is loaded
    inferencer = RetrievalInferencer(args.config, args.checkpoint, device=args.device, amp=args.amp)
    gallery = Gallery.open(
        args.folder,
        inferencer,
        cache_dir=args.cache_dir,
        batch_size=args.batch_size,
        num_workers=args.workers,
        progress=True,
    )
    report(gallery)
    results = {text: inferencer.search(text, gallery, topk=args.topk) for text in args.sentence}
    return inferencer, gallery, results


def report(gallery: Gallery) -> None:
    """Print on stderr how many videos were encoded, and which files are not searched."""
    from ts2net_mm.video.video_files import describe_endings

    counts = [f'{len(gallery)} videos', f'{gallery.num_encoded} of them encoded now']
    if gallery.num_dropped:
        counts.append(f'{gallery.num_dropped} missing since the last time')
    print(', '.join(counts), file=sys.stderr)
    if gallery.skipped:
        print(f'skipped {len(gallery.skipped)} videos that cannot be read:', file=sys.stderr)
    for name, reason in gallery.skipped.items():
        print(f'  {printable(name)}: {printable(reason)}', file=sys.stderr)
    if gallery.left:
        number, endings = sum(gallery.left.values()), describe_endings(gallery.left)
        print(f'{number:,} files are not videos: {printable(endings)}', file=sys.stderr)


def print_json(gallery: Gallery, results: Mapping[str, Sequence[SearchHit]]) -> None:
    """Print all results for a program to read."""
    queries = [
        dict(
            query=text,
            hits=[
                dict(
                    rank=hit.rank,
                    score=hit.score,
                    name=hit.name,
                    video=str(hit.path.absolute()),
                    best_seconds=hit.best_seconds,
                )
                for hit in hits
            ],
        )
        for text, hits in results.items()
    ]
    found = dict(
        folder=str(gallery.folder),
        videos=len(gallery),
        skipped=gallery.skipped,
        left=gallery.left,
        queries=queries,
    )
    print(json.dumps(found, indent=1))


def print_hits(text: str, hits: Sequence[SearchHit]) -> None:
    """Print the hits of one sentence: a table on a terminal, plain lines elsewhere."""
    if not sys.stdout.isatty():
        print(printable(text))
        for hit in hits:
            print(f'{hit.rank:4}  {hit.score:7.4f}  {printable(hit.name)}')
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column('rank', justify='right')
    table.add_column('score', justify='right')
    table.add_column('video', overflow='fold')
    for hit in hits:
        table.add_row(str(hit.rank), f'{hit.score:.4f}', Text(printable(hit.name)))
    console = Console()
    console.print(Text(printable(text), style='bold'))
    console.print(table)


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


def _sentence(text: str) -> str:
    if not has_words(text):
        raise argparse.ArgumentTypeError(f'the sentence {text!r} has no word')
    return text


if __name__ == '__main__':
    sys.exit(main())
