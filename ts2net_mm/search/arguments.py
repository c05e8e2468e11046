"""Arguments that the commands which encode videos share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..utils.cli import positive_float, positive_int

if TYPE_CHECKING:
    from .windows import Windowing

__all__ = ['add_encoding_arguments', 'check_window_arguments', 'choose_windowing']


def add_encoding_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of how videos are cut, decoded and encoded."""
    group = parser.add_argument_group('how videos are encoded')
    group.add_argument('--whole', action='store_true', help='do not cut long videos')
    group.add_argument('--window', type=positive_float, help='seconds of a window')
    group.add_argument(
        '--stride',
        type=positive_float,
        help='seconds between the starts of two windows (default: half a window)',
    )
    group.add_argument(
        '--batch-size', type=positive_int, default=8, help='windows per batch (default: 8)'
    )
    group.add_argument(
        '--workers',
        type=positive_int,
        help='processes that decode (default: one per CPU core, at most 8)',
    )


def check_window_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End with a usage error if arguments exclude each other."""
    if args.whole and (args.window or args.stride):
        parser.error('--whole does not cut videos, so it excludes --window and --stride')
    if args.stride and not args.window:
        parser.error('--stride needs --window')


def choose_windowing(args: argparse.Namespace, pipeline: Sequence[dict]) -> Windowing | None:
    """Return how videos are cut; None keeps them whole."""
    from .windows import Windowing, default_windowing

    if args.whole:
        return None
    if args.window:
        return Windowing(args.window, args.stride or 0.0)
    windowing = default_windowing(pipeline)
    if windowing is None:
        print(
            'how long a window of this model is cannot be told from its pipeline, so videos stay '
            'whole; --window cuts them',
            file=sys.stderr,
        )
    return windowing
