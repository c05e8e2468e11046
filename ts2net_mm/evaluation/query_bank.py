"""The training captions of a query bank, and the settings that choose them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from ..datasets.annotation import load_annotations
from .normalisation import INVERSE_TEMPERATURE, TOPK, check_settings

__all__ = ['QueryBank', 'QueryBankOptions', 'draw']

T = TypeVar('T')


@dataclass(frozen=True, kw_only=True)
class QueryBankOptions:
    """Settings of a query bank.

    Args:
        ann_file: Annotation file of the training split, MMAction2's video-text JSON; its videos are
            not read.
        num_queries: Most captions of the bank, None for all. The scores of the bank take
            4 x queries x test videos bytes.
        seed: Decides which captions are drawn, if there are more.
        inverse_temperature: Factor on the cosines; see `dynamic_inverted_softmax`.
        topk: Best videos of a bank query that are hub candidates; see there.
    """

    ann_file: str
    num_queries: int | None = 10_000
    seed: int = 0
    inverse_temperature: float = INVERSE_TEMPERATURE
    topk: int = TOPK

    @classmethod
    def from_config(cls, settings: Any) -> QueryBankOptions:
        """Read and check the settings of a config.

        Raises:
            ValueError: If they are no dict, lack ``ann_file``, or a setting is unknown or out of
                range.
        """
        names = [field.name for field in fields(cls)]
        if not isinstance(settings, Mapping) or 'ann_file' not in settings:
            raise ValueError(
                f"query_bank={settings!r} must be a dict with 'ann_file', "
                'the annotation of the training split'
            )
        if unknown := [name for name in settings if name not in names]:
            raise ValueError(f'query_bank has the unknown settings {unknown}, it takes {names}')
        options = cls(**settings)
        if not isinstance(options.ann_file, str) or not options.ann_file:
            raise ValueError(f'query_bank: ann_file={options.ann_file!r} must be a path')
        integers = dict(num_queries=1, seed=0)
        if options.num_queries is None:
            del integers['num_queries']
        for name, least in integers.items():
            value = getattr(options, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(
                    f'query_bank: {name}={value!r} must be a whole number of at least {least}'
                )
        try:
            check_settings(options.inverse_temperature, options.topk)
        except ValueError as error:
            raise ValueError(f'query_bank: {error}') from error
        return options


@dataclass(frozen=True)
class QueryBank:
    """The captions of a query bank, and the video of each."""

    captions: list[str]
    video_ids: list[str]

    @classmethod
    def from_annotations(cls, options: QueryBankOptions) -> QueryBank:
        """Draw captions uniformly without repetition; a seed always gives the same captions.

        Raises:
            FileNotFoundError: If the annotation file does not exist.
            ValueError: If it is no annotation.
        """
        pairs = [
            (caption, annotation.video_id)
            for annotation in load_annotations(options.ann_file)
            for caption in annotation.captions
        ]
        captions, video_ids = zip(*draw(pairs, options.num_queries, options.seed), strict=True)
        return cls(list(captions), list(video_ids))


def draw(items: list[T], number: int | None, seed: int = 0) -> list[T]:
    """Draw items uniformly without repetition, in their order; a seed always gives the same.

    Args:
        items: The items.
        number: Most items, None for all.
        seed: Decides which, if there are more.
    """
    if number is None or number >= len(items):
        return items
    drawn = np.random.default_rng(seed).choice(len(items), number, replace=False)
    return [items[index] for index in np.sort(drawn)]
