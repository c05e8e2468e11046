"""Recompute all metrics of a test from its similarity matrix, without the model."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ts2net_mm.utils.cli import positive_float, positive_int, require_path, run
from ts2net_mm.utils.files import ensure_writable, write_text

EPILOG = """\
The matrix is the file that tools/test.py writes with --dump FILE.npz. The table
shows the plain numbers, those with inverted softmax and Sinkhorn normalisation,
and those with the query bank if there is one: in the file itself (a test with
query_bank writes it there), or in another file whose array 'bank_similarity' has
a row for each query of the bank and a column for each video of the test. See
docs/evaluation.md.

exit codes: 0 done, 1 error, 2 wrong arguments

example:
  python tools/analysis/eval_matrix.py scores.npz --topk 2 --json metrics.json
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('matrix', type=Path, help='similarity file (.npz) of a test')
    parser.add_argument(
        '--bank',
        type=Path,
        metavar='FILE.npz',
        help='scores of a query bank with the same videos, instead of those in the matrix file',
    )
    parser.add_argument(
        '--inverse-temperature',
        type=positive_float,
        default=20.0,
        metavar='B',
        help='inverse temperature of the query bank, for cosines (default: 20)',
    )
    parser.add_argument(
        '--topk',
        type=positive_int,
        default=1,
        metavar='K',
        help='best videos of a bank query that are hub candidates (default: 1)',
    )
    parser.add_argument(
        '--sinkhorn-inverse-temperature',
        type=positive_float,
        default=100.0,
        metavar='B',
        help='inverse temperature of the Sinkhorn normalisation, for cosines (default: 100)',
    )
    parser.add_argument(
        '--sinkhorn-iterations',
        type=positive_int,
        default=10,
        metavar='N',
        help='iterations of the Sinkhorn normalisation (default: 10)',
    )
    parser.add_argument(
        '--logit-scale',
        type=positive_float,
        metavar='S',
        help='factor between cosine and score, if the matrix file does not hold it; 1 for cosines',
    )
    parser.add_argument(
        '--json', type=Path, metavar='FILE', help='also write all numbers, not rounded'
    )
    return parser.parse_args(argv)


def evaluate(args: argparse.Namespace) -> None:
    """Read the files, print the table and write the numbers."""
    for path in filter(None, (args.matrix, args.bank)):
        require_path('similarity file', path)
    if args.json is not None:
        args.json = ensure_writable(args.json, 'JSON file')
    from ts2net_mm.evaluation import (
        SinkhornOptions,
        format_table,
        load_similarity,
        measure_similarity,
    )
    from ts2net_mm.evaluation.similarity_file import load_bank_similarity

    test = load_similarity(args.matrix)
    bank = test.bank_similarity
    if args.bank is not None:
        bank = load_bank_similarity(args.bank, test.video_ids)
    logit_scale = args.logit_scale or test.logit_scale
    if logit_scale is None:
        raise ValueError(f'{args.matrix} holds no logit_scale: give --logit-scale')
    metrics = measure_similarity(
        test.similarity,
        test.video_of_text,
        inverted_softmax=True,
        sinkhorn=SinkhornOptions(
            inverse_temperature=args.sinkhorn_inverse_temperature,
            num_iterations=args.sinkhorn_iterations,
        ),
        bank_logits=bank,
        logit_scale=logit_scale,
        inverse_temperature=args.inverse_temperature,
        topk=args.topk,
    )
    print(f'{len(test.captions)} texts, {len(test.video_ids)} videos', end='')
    print(', no query bank' if bank is None else f', {len(bank)} queries in the bank')
    print(format_table(metrics))
    if args.json is not None:
        write_text(args.json, json.dumps(metrics, indent=2) + '\n')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run(evaluate, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
