"""The command line that calibrates an index."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.cli import positive_float, positive_int, require_path
from ..utils.files import check_folder
from ..utils.hubs import INVERSE_TEMPERATURE
from ..utils.progress import VideoProgress
from ..utils.text import printable
from .bound import OtherScore
from .calibrating import calibrate
from .calibration import Calibration, Validation, write_calibration
from .current_calibration import update_calibration
from .description import Description, read_description
from .index import VideoIndex
from .validation import KEEP, ValidationSet, validate
from .view import View

__all__ = [
    'add_calibrate_arguments',
    'calibrate_index',
    'check_calibrate_arguments',
    'describe_calibration',
]

NUM_QUERIES = 10_000  # as for the query bank of an evaluation
SENTENCES_AT_A_TIME = 256
RULES = ('dynamic', 'always')
TITLE = 'comparing videos'


def add_calibrate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``calibrate``."""
    group = parser.add_argument_group('calibrate')
    group.add_argument(
        '--queries',
        metavar='FILE',
        help='the query bank: a text with a sentence in each line, or an annotation (.json), whose '
        'captions are taken; without it, the stored bank is compared with new videos',
    )
    group.add_argument(
        '--inverse-temperature',
        type=positive_float,
        help=f'factor on the scores inside the exponential (default: {INVERSE_TEMPERATURE:g})',
    )
    group.add_argument(
        '--rule',
        choices=RULES,
        help='which queries are ranked by calibrated scores: those whose best video is among the '
        'best of a sentence of the bank, or all (default: dynamic, or as stored)',
    )
    group.add_argument(
        '--num-queries',
        type=positive_int,
        default=NUM_QUERIES,
        help='most sentences of the bank, and of the validation; of more, these are drawn '
        f'(default: {NUM_QUERIES})',
    )
    group.add_argument(
        '--validation',
        metavar='FILE',
        help='an annotation of videos of this index, which judges the calibration and chooses the '
        'threshold of --only-fitting',
    )
    group.add_argument(
        '--keep',
        type=_share,
        help="share of the validation's right videos that the threshold keeps (default: 0.95)",
    )
    group.add_argument(
        '--model',
        nargs=2,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='the model; needed if the index has no copy of its text encoder, or if its score has '
        'no certified bound',
    )


def check_calibrate_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End with a usage error if arguments belong to another command, or to each other."""
    for name in ('queries', 'inverse_temperature', 'rule', 'validation', 'keep', 'model'):
        if getattr(args, name) and args.command != 'calibrate':
            parser.error(f'--{name.replace("_", "-")} belongs to calibrate')
    if args.inverse_temperature and not args.queries:
        parser.error('--inverse-temperature belongs to a new bank: name it with --queries')
    if args.keep and not args.validation:
        parser.error('--keep needs --validation')


def calibrate_index(args: argparse.Namespace) -> None:
    """Calibrate an index, or bring its calibration up to date, and report.

    Raises:
        OSError: If a file cannot be read or written.
        ValueError: If the index, the model or a file of sentences does not fit.
    """
    description = read_description(Path(args.index).expanduser())
    check_folder(args.index, 'index folder')  # before the work that is to be stored there
    for kind, path in (('query bank', args.queries), ('annotation', args.validation)):
        if path:
            require_path(kind, path)
    with contextlib.redirect_stdout(sys.stderr):
        from .sentence_files import find_right_videos, read_bank

        bank = read_bank(args.queries, args.num_queries) if args.queries else []
        index, encoder = _open(args, description)
        view, right = index.store.view(), None
        if args.validation:
            right = find_right_videos(view, args.validation, args.num_queries)
            _print_notes(args, bank, right)
        calibration = _calibrate(args, index, view, encoder, bank)
        if right is not None:
            queries = _encode(encoder, list(right.right))
            keep = args.keep or KEEP
            validation = validate(index, calibration, queries, right, keep=keep, view=view)
            calibration = replace(calibration, validation=validation)
        write_calibration(args.index, calibration)
    print(*describe_calibration(calibration), sep='\n')


def describe_calibration(calibration: Calibration) -> list[str]:
    """Say in words what a calibration holds."""
    hubs = int((calibration.videos['is_hub'] > 0).sum())
    rule = 'dynamic' if calibration.dynamic else 'always'
    lines = [
        f'calibrated with {len(calibration.bank):,} sentences of {printable(calibration.source)} '
        f'(sha256 {calibration.bank_digest[:12]}), inverse temperature '
        f'{calibration.inverse_temperature:g}, rule {rule}: {len(calibration.videos):,} videos, '
        f'{hubs:,} of them hub candidates'
    ]
    return lines + (_describe_validation(calibration.validation) if calibration.validation else [])


def _describe_validation(validation: Validation) -> list[str]:
    recall = validation.recall
    lines = [
        f'validation: {validation.num_queries:,} sentences of {validation.num_videos:,} videos of '
        f'{printable(validation.source)}',
        f'  R@1: {recall["plain"]:.1f} % by scores; calibrated {recall["dynamic"]:.1f} % with the '
        f'rule dynamic, {recall["always"]:.1f} % with always',
    ]
    for name, threshold in (
        ('scores', validation.plain),
        ('calibrated scores', validation.calibrated),
    ):
        lines.append(
            f'  threshold of {name} {threshold.value:.4f}: reached by {threshold.kept:.1%} of the '
            f'right videos; without them, {threshold.rejected:.1%} of the sentences find nothing'
        )
    return lines


def _open(args: argparse.Namespace, description: Description) -> tuple[VideoIndex, Any]:
    """Open the index, and what encodes sentences: the model, or the copy of its text encoder."""
    if args.model:
        from ..apis import RetrievalInferencer

        inferencer = RetrievalInferencer(*args.model)
        description.require_model(inferencer.fingerprint, args.index)
        score = None if description.score else OtherScore(inferencer.score_frames)
        return VideoIndex(args.index, score=score), inferencer
    if description.score is None:
        raise ValueError(f'the score of {args.index} needs the model: name it with --model')
    from .text_encoder import StoredTextEncoder

    try:
        return VideoIndex(args.index), StoredTextEncoder(args.index)
    except FileNotFoundError as error:
        raise ValueError(
            f'{args.index} has no copy of its text encoder: name the model with --model'
        ) from error


def _print_notes(args: argparse.Namespace, bank: Sequence[str], right: ValidationSet) -> None:
    """Say on stderr what the validation leaves out, and what makes it unfair."""
    if number := len(right.missing):
        print(f'{number} videos of {args.validation} are not in the index', file=sys.stderr)
    if number := len(right.right.keys() & set(bank)):
        print(f'{number} sentences of the validation are in the bank, too', file=sys.stderr)


def _calibrate(
    args: argparse.Namespace, index: VideoIndex, view: View, encoder: Any, bank: Sequence[str]
) -> Calibration:
    """Make a calibration with a bank, or bring the one of the index up to date."""
    if not bank:
        calibration = index.calibration()
        with VideoProgress(len(calibration.new_videos(view)), title=TITLE) as bar:
            calibration = update_calibration(
                calibration, view, index.score, on_progress=bar.advance
            )
    else:
        features = _encode(encoder, bank)
        with VideoProgress(view.num_videos, title=TITLE) as bar:
            calibration = calibrate(
                index,
                features,
                inverse_temperature=args.inverse_temperature or INVERSE_TEMPERATURE,
                source=Path(args.queries).name,
                view=view,
                on_progress=bar.advance,
            )
    return replace(calibration, dynamic=args.rule == 'dynamic') if args.rule else calibration


def _encode(encoder: Any, sentences: Sequence[str]) -> np.ndarray:
    """Encode sentences, and show the progress: (Q, D)."""
    parts = []
    with VideoProgress(len(sentences), title='encoding sentences') as bar:
        for first in range(0, len(sentences), SENTENCES_AT_A_TIME):
            part = sentences[first : first + SENTENCES_AT_A_TIME]
            parts.append(encoder.encode_texts(list(part)).numpy())
            bar.advance(len(part))
    return np.concatenate(parts)


def _share(text: str) -> float:
    value = positive_float(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a share above 0 and at most 1')
    return value
