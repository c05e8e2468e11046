"""The command line of a search in an index: encode the queries, search, print."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils.text import printable
from .addresses import open_index
from .bound import OtherScore, Score
from .filters import VideoFilter
from .index import SearchIndex, VideoIndex
from .milvus_client import is_milvus_address
from .queries import stored_example, subtract
from .results import Hit, SearchResult
from .store import DESCRIPTION, Description, VideoStore

if TYPE_CHECKING:
    from ..apis import RetrievalInferencer

__all__ = ['add_index_arguments', 'is_index', 'search_index']


def is_index(folder: str | Path) -> bool:
    """Tell whether a folder is an index, or an address that of Milvus."""
    return is_milvus_address(folder) or (Path(folder).expanduser() / DESCRIPTION).is_file()


def add_index_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a search that need an index."""
    group = parser.add_argument_group('with an index of tools/encode.py as the folder')
    group.add_argument(
        '--like',
        action='append',
        default=[],
        metavar='FILE',
        help='search for what resembles a video or picture',
    )
    group.add_argument('--minus', metavar='SENTENCE', help='and does not fit this sentence')
    group.add_argument('--under', metavar='FOLDER', help='only videos in this folder')
    group.add_argument('--min-seconds', type=float, help='only videos of at least this duration')
    group.add_argument('--max-seconds', type=float, help='only videos of at most this duration')
    group.add_argument('--after', type=_date, metavar='DATE', help='only files changed since then')
    group.add_argument('--before', type=_date, metavar='DATE', help='only files changed before')
    group.add_argument(
        '--min-score',
        type=float,
        help='print no video below this score, and say so if nothing is left',
    )


def search_index(args: argparse.Namespace) -> None:
    """Search an index for each query, and print the hits.

    Raises:
        ValueError: If the index was made with another model, or a query cannot be encoded.
    """
    with contextlib.redirect_stdout(sys.stderr):
        index, queries = _open(args)
        features = queries.encode(index)
        results = index.search(features, topk=args.topk, filters=_filter(args))
    named = {
        name: _above(result, args.min_score)
        for name, result in zip(queries.names, results, strict=True)
    }
    num_videos, num_windows = index.count()
    print(f'{num_videos} videos, {num_windows} windows', file=sys.stderr)
    if args.json:
        _print_json(args.folder, num_videos, named)
    else:
        for name, result in named.items():
            _print_result(name, result)
    if args.html:
        queries.write_page(named, num_videos)


def _open(args: argparse.Namespace) -> tuple[SearchIndex, _Queries]:
    if is_milvus_address(args.folder):
        index = open_index(args.folder)
        return index, _Queries(args, index.description)
    queries = _Queries(args, VideoStore(args.folder).description)
    return VideoIndex(args.folder, score=queries.score), queries


class _Queries:
    """The queries of a command line; the whole model is built only if something needs it."""

    def __init__(self, args: argparse.Namespace, description: Description) -> None:
        self.args = args
        self.names = [*args.sentence, *args.like]
        self._description = description

    @cached_property
    def inferencer(self) -> RetrievalInferencer:
        """The whole model."""
        from ..apis import RetrievalInferencer

        args = self.args
        inferencer = RetrievalInferencer(args.config, args.checkpoint, device=args.device)
        if inferencer.fingerprint != self._description.fingerprint:
            raise ValueError(f'the index {args.folder} was made with another model or pipeline')
        return inferencer

    @property
    def score(self) -> Score | None:
        """The score of the model, if its similarity has no certified bound."""
        if self._description.score is not None:
            return None
        return OtherScore(self.inferencer.score_frames)

    def encode(self, index: SearchIndex) -> np.ndarray:
        """Encode all queries: (Q, D)."""
        args = self.args
        sentences = [*args.sentence, *filter(None, [args.minus])]
        texts = list(self._encode_sentences(sentences)) if sentences else []
        features = texts[: len(args.sentence)]
        for path in args.like:
            stored = stored_example(index, path)
            features.append(self._encode_file(path) if stored is None else stored)
        if args.minus:
            features = [subtract(feature, texts[-1]) for feature in features]
        return np.stack(features)

    def write_page(self, results: Mapping[str, SearchResult], num_videos: int) -> None:
        """Write the page of --html."""
        from ..apis import SearchHit, write_html_report

        args = self.args
        paths = [hit.path for result in results.values() for hit in result.hits]
        base = os.path.commonpath([os.path.dirname(path) for path in paths] or ['/'])
        hits = {
            name: [
                SearchHit(
                    hit.rank,
                    hit.score,
                    os.path.relpath(hit.path, base),
                    Path(hit.path),
                    hit.moments[0].best_seconds,
                )
                for hit in result.hits
            ]
            for name, result in results.items()
        }
        with contextlib.redirect_stdout(sys.stderr):
            write_html_report(
                args.html, hits, self.inferencer, num_videos=num_videos, num_workers=args.workers
            )
        print(f'page: {args.html}', file=sys.stderr if args.json else sys.stdout)

    def _encode_sentences(self, sentences: list[str]) -> np.ndarray:
        from .text_encoder import StoredTextEncoder, copy_text_encoder, has_copy, source_of

        args = self.args
        if is_milvus_address(args.folder):
            return self.inferencer.encode_texts(sentences).numpy()
        source = source_of(args.config, args.checkpoint)
        if has_copy(args.folder, source):
            return StoredTextEncoder(args.folder).encode_texts(sentences).numpy()
        texts = self.inferencer.encode_texts(sentences).numpy()
        with contextlib.suppress(OSError):  # the index may be read-only
            copy_text_encoder(args.folder, self.inferencer, source)
        return texts

    def _encode_file(self, path: str) -> np.ndarray:
        from .examples import encode_example

        return encode_example(self.inferencer, path)


def _filter(args: argparse.Namespace) -> VideoFilter:
    return VideoFilter(
        folder=os.path.abspath(args.under) if args.under else None,
        min_duration=args.min_seconds,
        max_duration=args.max_seconds,
        changed_after=args.after,
        changed_before=args.before,
    )


def _above(result: SearchResult, min_score: float | None) -> SearchResult:
    """Keep the hits that reach a score."""
    if min_score is None:
        return result
    hits = [hit for hit in result.hits if hit.score >= min_score]
    return replace(result, hits=hits)


def _print_json(folder: str, num_videos: int, results: Mapping[str, SearchResult]) -> None:
    queries = [
        dict(query=name, exact=result.exact, hits=[_as_dict(hit) for hit in result.hits])
        for name, result in results.items()
    ]
    print(json.dumps(dict(index=str(folder), videos=num_videos, queries=queries), indent=1))


def _as_dict(hit: Hit) -> dict[str, Any]:
    moments = [
        dict(
            start=moment.start,
            end=moment.end if math.isfinite(moment.end) else None,
            score=moment.score,
            best_seconds=moment.best_seconds,
        )
        for moment in hit.moments
    ]
    return dict(
        rank=hit.rank, score=hit.score, video=hit.path, duration=hit.duration, moments=moments
    )


def _print_result(name: str, result: SearchResult) -> None:
    note = '' if result.exact else f'  ({result.certificate})'
    print(f'{printable(name)}{note}')
    if not result.hits:
        print('  nothing fits')
    for hit in result.hits:
        moment = hit.moments[0]
        times = f'{_clock(moment.start)}-{_clock(moment.end)}'
        print(f'{hit.rank:4}  {hit.score:7.4f}  {times:>13}  {printable(hit.path)}')


def _clock(seconds: float) -> str:
    """Format a time.

    Example:
        >>> _clock(75.4), _clock(3675), _clock(float('nan'))
        ('1:15', '1:01:15', '?')
    """
    if not math.isfinite(seconds):
        return '?'
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{rest:02}' if hours else f'{minutes}:{rest:02}'


def _date(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'{text!r} is not a date like 2024-12-31') from error
