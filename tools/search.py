"""Find videos of a folder by sentences."""

from __future__ import annotations

import argparse
import io
import json
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ts2net_mm.apis import Gallery, SearchHit

EPILOG = """\
The score is the model's similarity of sentence and video without the logit
scale: a cosine, weighted over the frames, between -1 and 1. It ranks the videos
of one sentence; it is no probability.

The folder's videos are encoded once and kept in the cache folder, one file for
each folder and model. Later runs encode what is new or changed, by path, size
and time of change. The cache may be deleted at any time.

Videos that cannot be read are named with the reason and counted on stderr, and
tried again in the next run. One that hangs is left after a minute.

--json prints one object: {"folder", "videos": their number, "skipped": {name:
reason}, "queries": [{"query", "hits": [{"rank", "score", "name", "video": its
path, "best_seconds": when its best frame is shown, or null}]}]}.

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
    parser.add_argument('--topk', type=_positive, default=5, help='hits to show (default: 5)')
    parser.add_argument('--json', action='store_true', help='print JSON instead of tables')
    parser.add_argument('--html', metavar='FILE', help='also write a page with frames of each hit')
    parser.add_argument(
        '--device', help="such as 'cpu' or 'cuda:1' (default: a GPU if there is one)"
    )
    parser.add_argument(
        '--batch-size', type=_positive, default=8, help='videos encoded at a time (default: 8)'
    )
    parser.add_argument(
        '--workers',
        type=_positive,
        help='processes that decode (default: one a CPU core, at most 8)',
    )
    parser.add_argument(
        '--cache-dir', help='where encoded videos are kept (default: ~/.cache/ts2net_mm)'
    )
    return parser.parse_args(argv)


def missing_path(args: argparse.Namespace) -> str | None:
    """Name a path that does not exist, before anything large is imported."""
    from ts2net_mm.utils.cli import is_missing_weights

    folder = Path(args.folder).expanduser()
    if not Path(args.config).expanduser().is_file():
        return f'config {args.config} does not exist'
    if is_missing_weights(args.checkpoint):
        return f'checkpoint {args.checkpoint} does not exist'
    if not folder.exists():
        return f'video folder {args.folder} does not exist'
    if not folder.is_dir():
        return f'{args.folder} is a file, expected a folder of videos'
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Search, print, and return the exit code."""
    args = parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')
    if problem := missing_path(args):
        print(f'error: {problem}', file=sys.stderr)
        return 1
    try:
        search(args)
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print(f'interrupted; {error}' if error.args else 'interrupted', file=sys.stderr)
        return 130
    return 0


def search(args: argparse.Namespace) -> None:
    """Encode what is new in the folder, rank its videos for each sentence, show the hits."""
    from ts2net_mm.apis import Gallery, RetrievalInferencer, write_html_report
    from ts2net_mm.apis.gallery import find_readable
    from ts2net_mm.apis.html_report import make_place
    from ts2net_mm.apis.loading import load_config
    from ts2net_mm.apis.pipeline import split_test_pipeline

    pipeline, _ = split_test_pipeline(load_config(args.config))
    find_readable(args.folder, pipeline)  # none should not wait for the model
    if args.html:
        make_place(args.html)
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
    if args.json:
        print_json(gallery, results)
    else:
        for text, hits in results.items():
            print_hits(text, hits)
    if args.html:
        write_html_report(
            args.html, results, inferencer, num_videos=len(gallery), num_workers=args.workers
        )
        print(f'page: {args.html}', file=sys.stderr if args.json else sys.stdout)


def report(gallery: Gallery) -> None:
    """Say on stderr what was encoded, and which videos could not be read."""
    from ts2net_mm.apis.text import printable

    counts = [f'{len(gallery)} videos', f'{gallery.num_encoded} of them encoded now']
    if gallery.num_dropped:
        counts.append(f'{gallery.num_dropped} gone since the last time')
    print(', '.join(counts), file=sys.stderr)
    if gallery.skipped:
        print(f'skipped {len(gallery.skipped)} that cannot be read:', file=sys.stderr)
    for name, reason in gallery.skipped.items():
        print(f'  {printable(name)}: {printable(reason)}', file=sys.stderr)


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
        folder=str(gallery.folder), videos=len(gallery), skipped=gallery.skipped, queries=queries
    )
    print(json.dumps(found, indent=1))


def print_hits(text: str, hits: Sequence[SearchHit]) -> None:
    """Print the table of one sentence."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ts2net_mm.apis.text import printable

    console = Console()
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None)
    table.add_column('rank', justify='right')
    table.add_column('score', justify='right')
    table.add_column('video', overflow='fold')
    for hit in hits:
        table.add_row(str(hit.rank), f'{hit.score:.4f}', Text(printable(hit.name)))
    if not console.is_terminal:
        console.width = 10_000  # a pipe has no width to fold file names at
    console.print(Text(printable(text), style='bold'))
    console.print(table)


def _positive(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is no whole number of at least 1')
    return value


def _sentence(text: str) -> str:
    # as ts2net_mm.apis.text.has_words, which would have to be imported first
    categories = {unicodedata.category(char) for char in text}
    if not any(one[0] in 'LN' or one == 'So' for one in categories):
        raise argparse.ArgumentTypeError(f'the sentence {text!r} has no word')
    return text


if __name__ == '__main__':
    sys.exit(main())
