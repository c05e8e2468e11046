"""Find videos of a folder by sentences."""

from __future__ import annotations

import argparse
import contextlib
import json
import mimetypes
import os
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ts2net_mm.utils.cli import positive_int, run

if TYPE_CHECKING:
    from ts2net_mm.apis import Gallery, RetrievalInferencer, SearchHit

# Known here, too, so that a mistake is found before the imports, which take seconds
CLIP_NAMES = ('ViT-B/32', 'ViT-B/16', 'ViT-L/14', 'ViT-L/14@336px')
CONFIG_SUFFIXES = ('.py', '.yaml', '.yml', '.json')
MIME_TYPES = mimetypes.MimeTypes()
NO_MEDIA = ('text/', 'application/json', 'application/x-python')

EPILOG = """\
The score is the model's similarity of sentence and video without the logit
scale: a cosine, weighted over the frames, between -1 and 1. It ranks the videos
of one sentence; it is no probability.

The folder's videos are encoded once and kept in the cache folder, one file for
each folder and model. Later runs encode what is new or changed, by path, size
and time of change. The cache may be deleted at any time.

Every file is tried, whatever its ending. Videos that cannot be read are named
with the reason on stderr, and tried again in the next run; one that hangs is left
after a minute. Files of other endings that are no videos are counted.

--json prints one object and nothing else on stdout:
  {"folder": what was searched, "videos": how many, "skipped": {name: reason},
   "left": {ending: how many files that are no videos},
   "queries": [{"query": the sentence, "hits": [{"rank": from 1, "score": number,
     "name": path inside the folder, "video": absolute path,
     "best_seconds": when its best frame is shown, null where that is unknown}]}]}

The page of --html shows the frames of each hit and plays it from the best one.
It may be moved; the videos may not, it opens them at their absolute paths.

exit codes: 0 found, 1 error, 2 wrong arguments, 130 interrupted with Ctrl-C
(what was encoded is kept)

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
    parser.add_argument('folder', help='folder with videos, also in sub-folders')
    parser.add_argument(
        'sentence', nargs='+', type=_sentence, help='what to look for; one table each'
    )
    parser.add_argument('--topk', type=positive_int, default=5, help='hits to show (default: 5)')
    parser.add_argument('--json', action='store_true', help='print JSON instead of tables')
    parser.add_argument('--html', metavar='FILE', help='also write a page with frames of each hit')
    parser.add_argument(
        '--device',
        type=_device,
        help="such as 'cpu' or 'cuda:1' (default: a GPU if there is one)",
    )
    parser.add_argument(
        '--batch-size', type=positive_int, default=8, help='videos encoded at a time (default: 8)'
    )
    parser.add_argument(
        '--workers',
        type=positive_int,
        help='processes that decode (default: one a CPU core, at most 8)',
    )
    parser.add_argument(
        '--cache-dir', help='where encoded videos are kept (default: ~/.cache/ts2net_mm)'
    )
    return parser.parse_args(argv)


def find_problem(args: argparse.Namespace) -> str | None:
    """Name a path that does not serve, before anything large is imported."""
    config, folder = Path(args.config).expanduser(), Path(args.folder).expanduser()
    if not config.is_file():
        found = 'is a folder, expected a file' if config.is_dir() else 'does not exist'
        return f'config {args.config} {found}'
    if config.suffix not in CONFIG_SUFFIXES:
        return f'config {args.config} is no config, expected a file in {", ".join(CONFIG_SUFFIXES)}'
    is_name = '://' in args.checkpoint or args.checkpoint in CLIP_NAMES
    if not is_name and not Path(args.checkpoint).expanduser().exists():
        names = ', '.join(CLIP_NAMES)
        return f'checkpoint {args.checkpoint} does not exist; a name would be one of {names}'
    if not folder.exists():
        return f'video folder {args.folder} does not exist'
    if not folder.is_dir():
        return f'{args.folder} is a file, expected a folder of videos'
    if not _may_hold_videos(folder):
        return f'there is no video file in {args.folder}'
    if args.html and (page := Path(args.html).expanduser()).is_dir():
        return f'page {args.html} is a folder, expected a file name'
    if args.html and (problem := _make_folder(page.parent)):
        return f'folder of page {args.html} {problem}'
    if args.cache_dir and (problem := _make_folder(Path(args.cache_dir).expanduser())):
        return f'cache folder {args.cache_dir} {problem}'
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Search, print, and return the exit code."""
    args = parse_args(argv)
    if problem := find_problem(args):
        print(f'error: {problem}', file=sys.stderr)
        return 1
    return run(search, args)


def search(args: argparse.Namespace) -> None:
    """Find the videos, print them, and write the page if there is to be one."""
    # what libraries and loggers print must not come between the results
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
    """Encode what is new in the folder, and rank its videos for each sentence."""
    from ts2net_mm.apis import Gallery, RetrievalInferencer
    from ts2net_mm.apis.gallery import find_readable
    from ts2net_mm.apis.loading import load_config
    from ts2net_mm.apis.pipeline import split_test_pipeline

    pipeline, _ = split_test_pipeline(load_config(args.config))
    find_readable(args.folder, pipeline)  # none should not wait for the model
    inferencer = RetrievalInferencer(args.config, args.checkpoint, device=args.device)
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
    """Say on stderr what was encoded, and which files are not searched."""
    from ts2net_mm.utils.text import printable
    from ts2net_mm.video.video_files import describe_endings

    counts = [f'{len(gallery)} videos', f'{gallery.num_encoded} of them encoded now']
    if gallery.num_dropped:
        counts.append(f'{gallery.num_dropped} gone since the last time')
    print(', '.join(counts), file=sys.stderr)
    if gallery.skipped:
        print(f'skipped {len(gallery.skipped)} that cannot be read:', file=sys.stderr)
    for name, reason in gallery.skipped.items():
        print(f'  {printable(name)}: {printable(reason)}', file=sys.stderr)
    if gallery.left:
        number, endings = sum(gallery.left.values()), describe_endings(gallery.left)
        print(f'left {number:,} files that are no videos: {printable(endings)}', file=sys.stderr)


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
    """Print the table of one sentence: drawn on a terminal, plain lines elsewhere."""
    from ts2net_mm.utils.text import printable

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
    """Tell whether any file may be a video or a picture; only trying them tells for sure."""
    for parent, subfolders, names in os.walk(folder):
        kinds = (MIME_TYPES.guess_type(f'x{Path(name).suffix.lower()}')[0] for name in names)
        if any(kind is None or not kind.startswith(NO_MEDIA) for kind in kinds):
            return True
        if any(Path(parent, subfolder).is_symlink() for subfolder in subfolders):
            return True
    return False


def _make_folder(folder: Path) -> str | None:
    """Make a folder to write to; return what is wrong with it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f'cannot be made: {error.strerror}'
    return None if os.access(folder, os.W_OK) else 'cannot be written'


def _device(text: str) -> str:
    if not re.fullmatch(r'[a-z]+(:\d+)?', text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no device, expected such as 'cpu' or 'cuda:1'"
        )
    return text


def _sentence(text: str) -> str:
    # as ts2net_mm.utils.text.has_words, which would have to be imported first
    categories = {unicodedata.category(char) for char in text}
    if not any(one[0] in 'LN' or one == 'So' for one in categories):
        raise argparse.ArgumentTypeError(f'the sentence {text!r} has no word')
    return text


if __name__ == '__main__':
    sys.exit(main())
