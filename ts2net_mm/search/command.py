"""The command line of a search in an index: encode the queries, search, print."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils.cli import seconds, sentence
from .addresses import open_index
from .bound import OtherScore, Score
from .description import DESCRIPTION, Description
from .filters import VideoFilter
from .index import SearchIndex, VideoIndex
from .milvus_client import is_milvus_address
from .printing import print_json, print_result
from .queries import stored_example, subtract
from .results import SearchResult
from .store import VideoStore

if TYPE_CHECKING:
    from ..apis import RetrievalInferencer
    from .folders import FolderIndex

__all__ = ['add_index_arguments', 'check_index_arguments', 'is_index', 'search_index']


def is_index(folder: str | Path) -> bool:
    """Tell whether a folder is an index, or an address that of Milvus."""
    return is_milvus_address(folder) or (Path(folder).expanduser() / DESCRIPTION).is_file()


def add_index_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a search: what is searched for, and among which videos."""
    group = parser.add_argument_group('queries and filters')
    group.add_argument(
        '--like',
        action='append',
        default=[],
        metavar='FILE',
        help='search for what resembles a video or picture',
    )
    group.add_argument(
        '--minus', type=sentence, metavar='SENTENCE', help='and does not fit this sentence'
    )
    group.add_argument('--under', metavar='FOLDER', help='only videos in this folder')
    group.add_argument('--min-seconds', type=seconds, help='only videos of at least this duration')
    group.add_argument('--max-seconds', type=seconds, help='only videos of at most this duration')
    group.add_argument('--after', type=_date, metavar='DATE', help='only files changed since then')
    group.add_argument('--before', type=_date, metavar='DATE', help='only files changed before')
    group.add_argument(
        '--min-score',
        type=float,
        help='print no video below this score, and say so if nothing is left',
    )
    group.add_argument(
        '--calibrated',
        action='store_true',
        help='rank videos lower that fit almost everything, with the query bank of tools/index.py '
        'calibrate',
    )
    group.add_argument(
        '--only-fitting',
        action='store_true',
        help='print no video below the threshold that tools/index.py calibrate --validation chose, '
        'and say so if nothing is left',
    )


def check_index_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End with a usage error if the calibration of an index is to be used where there is none."""
    for name in ('calibrated', 'only_fitting'):
        if not getattr(args, name):
            continue
        option = f'--{name.replace("_", "-")}'
        if is_milvus_address(args.folder):
            parser.error(
                f'{option} needs an index in a folder, and {args.folder} is in Milvus: copy it '
                f'with tools/index.py {args.folder} copy --to FOLDER, and calibrate the copy'
            )
        if args.like:
            parser.error(f'{option} is for sentences, as those of the query bank, not for --like')
    if args.only_fitting and args.minus:
        parser.error('--only-fitting was chosen for sentences alone, so it excludes --minus')


def search_index(
    args: argparse.Namespace,
    folder: FolderIndex | None = None,
    inferencer: RetrievalInferencer | None = None,
) -> None:
    """Search an index for each query, and print the hits.

    Args:
        args: The command line.
        folder: The index of a folder of videos; by default the folder of ``args`` is an index.
        inferencer: The model, if it is built.

    Raises:
        ValueError: If the index was made with another model, or a query cannot be encoded.
    """
    with contextlib.redirect_stdout(sys.stderr):
        index, queries = _open(args, str(folder.place if folder else args.folder), inferencer)
        if isinstance(index, VideoIndex) and (args.calibrated or args.only_fitting):
            _check_calibration(args, index)
        features = queries.encode(index)
        results = _search(args, index, features)
    named = dict(zip(queries.names, results, strict=True))
    num_videos, num_windows = index.count()
    if args.under and not os.path.isdir(args.under):
        print(f'--under: the folder {args.under} does not exist here', file=sys.stderr)
    if folder is None:
        print(f'{num_videos} videos, {num_windows} windows', file=sys.stderr)
    name_of = folder.name_of if folder else None
    if args.json:
        about = _about(args, num_videos, folder)
        print_json(about | (dict(minus=args.minus) if args.minus else {}), named, name_of)
    titled = {_title(args, name, result): result for name, result in named.items()}
    if not args.json:
        for title, result in titled.items():
            print_result(title, result, name_of)
    if args.html:
        queries.write_page(titled, num_videos, name_of)


def _check_calibration(args: argparse.Namespace, index: VideoIndex) -> None:
    """Raise if the calibration lacks what is asked for, and say which videos it lacks."""
    calibration = index.calibration()
    if args.only_fitting:
        calibration.threshold(calibrated=args.calibrated)
    if args.calibrated and (number := len(calibration.new_videos(index.store.view()))):
        print(
            f'{number} videos are new since the calibration and are compared now; '
            f'tools/index.py {index.store.folder} calibrate stores it',
            file=sys.stderr,
        )


def _search(
    args: argparse.Namespace, index: SearchIndex, features: np.ndarray
) -> list[SearchResult]:
    """Search for each query, and leave out hits that are not to be printed."""
    options: dict[str, Any] = dict(topk=args.topk, filters=_filter(args))
    if args.calibrated:
        options['calibrated'] = True
    results = [_above(result, args.min_score) for result in index.search(features, **options)]
    if args.only_fitting:
        assert isinstance(index, VideoIndex)  # see check_index_arguments
        threshold = index.calibration().threshold(calibrated=args.calibrated)
        results = [_above(result, threshold, calibrated=args.calibrated) for result in results]
    return results


def _title(args: argparse.Namespace, query: str, result: SearchResult) -> str:
    title = f'{query}, minus {args.minus}' if args.minus else query
    return f'{title}, calibrated' if result.is_calibrated else title


def _about(
    args: argparse.Namespace, num_videos: int, folder: FolderIndex | None
) -> dict[str, object]:
    if folder is None:
        return dict(index=str(args.folder), videos=num_videos)
    skipped = {folder.name_of(path): note for path, note in folder.report.skipped_videos.items()}
    left = folder.report.others
    return dict(folder=str(folder.folder), videos=num_videos, skipped=skipped, left=left)


def _open(
    args: argparse.Namespace, place: str, inferencer: RetrievalInferencer | None
) -> tuple[SearchIndex, _Queries]:
    if is_milvus_address(place):
        index = open_index(place)
        return index, _Queries(args, place, index.description)
    queries = _Queries(args, place, VideoStore(place).description, inferencer)
    return VideoIndex(place, score=queries.score), queries


class _Queries:
    """The queries of a command line; the whole model is built only if something needs it."""

    def __init__(
        self,
        args: argparse.Namespace,
        place: str,
        description: Description,
        inferencer: RetrievalInferencer | None = None,
    ) -> None:
        self.args = args
        self.names = [*args.sentence, *args.like]
        self._place = place
        self._description = description
        if inferencer is not None:
            self.inferencer = inferencer

    @cached_property
    def inferencer(self) -> RetrievalInferencer:
        """The whole model."""
        from ..apis import RetrievalInferencer

        args = self.args
        inferencer = RetrievalInferencer(args.config, args.checkpoint, device=args.device)
        self._description.require_model(inferencer.fingerprint, self._place)
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

    def write_page(
        self,
        results: Mapping[str, SearchResult],
        num_videos: int,
        name_of: Callable[[str], str] | None,
    ) -> None:
        """Write the page of --html."""
        from ..apis import SearchHit, write_html_report

        args = self.args
        paths = [hit.path for result in results.values() for hit in result.hits]
        base = os.path.commonpath([os.path.dirname(path) for path in paths] or ['/'])
        name_of = name_of or partial(os.path.relpath, start=base)
        hits = {
            name: [
                SearchHit(
                    hit.rank,
                    hit.score,
                    name_of(hit.path),
                    Path(hit.path),
                    tuple(hit.moments[0].frame_scores),
                    tuple(hit.moments[0].frame_seconds),
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

        is_built = 'inferencer' in vars(self)
        if is_built or is_milvus_address(self._place):
            return self.inferencer.encode_texts(sentences).numpy()
        source = source_of(self.args.config, self.args.checkpoint)
        if has_copy(self._place, source):
            return StoredTextEncoder(self._place).encode_texts(sentences).numpy()
        texts = self.inferencer.encode_texts(sentences).numpy()
        with contextlib.suppress(OSError):  # the index may be read-only
            copy_text_encoder(self._place, self.inferencer, source)
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


def _above(result: SearchResult, least: float | None, *, calibrated: bool = False) -> SearchResult:
    """Keep the hits that reach a score, or a calibrated score."""
    if least is None:
        return result
    scores = [hit.calibrated if calibrated else hit.score for hit in result.hits]
    hits = [
        hit
        for hit, score in zip(result.hits, scores, strict=True)
        if score is not None and score >= least
    ]
    return replace(result, hits=hits)


def _date(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'{text!r} is not a date like 2024-12-31') from error
