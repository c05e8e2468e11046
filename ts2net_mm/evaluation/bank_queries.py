"""Which captions make a query bank."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..datasets.annotation import load_annotations
from .query_bank import INVERSE_TEMPERATURE, TOPK, check_settings

__all__ = ['BankQueries', 'QueryBankOptions', 'draw_queries', 'query_bank_options']


@dataclass(frozen=True, kw_only=True)
class QueryBankOptions:
    """What a query bank is made of, and how it is used.

    Args:
        ann_file: Annotation file of the training split, MMAction2's video-text JSON; its videos are
            not read.
        num_queries: Most captions of the bank, None for all. The scores of the bank take
            4 x queries x test videos bytes.
        seed: Which captions are drawn, if there are more.
        inverse_temperature: Factor on the cosines; see `dynamic_inverted_softmax`.
        topk: Best videos of a bank query that are hub candidates; see there.

    Raises:
        ValueError: If a setting is out of range.
    """

    ann_file: str
    num_queries: int | None = 10_000
    seed: int = 0
    inverse_temperature: float = INVERSE_TEMPERATURE
    topk: int = TOPK

    def __post_init__(self) -> None:
        if not isinstance(self.ann_file, str) or not self.ann_file:
            raise ValueError(f'query_bank: ann_file={self.ann_file!r} must be a path')
        for name, least, value in (('num_queries', 1, self.num_queries), ('seed', 0, self.seed)):
            if value is None and name == 'num_queries':
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(
                    f'query_bank: {name}={value!r} must be a whole number of at least {least}'
                )
        try:
            check_settings(self.inverse_temperature, self.topk)
        except ValueError as error:
            raise ValueError(f'query_bank: {error}') from error


@dataclass(frozen=True)
class BankQueries:
    """The captions of a query bank, and the video of each."""

    captions: list[str]
    video_ids: list[str]


def query_bank_options(settings: Any) -> QueryBankOptions:
    """Turn the settings of a config into options.

    Raises:
        ValueError: If they are no dict, lack ``ann_file``, or hold what is unknown or out of range.
    """
    names = [field.name for field in fields(QueryBankOptions)]
    if not isinstance(settings, Mapping) or 'ann_file' not in settings:
        raise ValueError(
            f"query_bank={settings!r} must be a dict with 'ann_file', "
            'the annotation of the training split'
        )
    if unknown := [name for name in settings if name not in names]:
        raise ValueError(f'query_bank has the unknown settings {unknown}, it takes {names}')
    return QueryBankOptions(**settings)


def draw_queries(options: QueryBankOptions) -> BankQueries:
    """Draw captions without repetition, all with the same chance; the same ones for a seed.

    Raises:
        FileNotFoundError: If the annotation file does not exist.
        ValueError: If it is no annotation.
    """
    pairs = [
        (caption, annotation.video_id)
        for annotation in load_annotations(options.ann_file)
        for caption in annotation.captions
    ]
    if options.num_queries is not None and options.num_queries < len(pairs):
        drawn = np.random.default_rng(options.seed).choice(
            len(pairs), options.num_queries, replace=False
        )
        pairs = [pairs[index] for index in np.sort(drawn)]
    captions, video_ids = zip(*pairs, strict=True)
    return BankQueries(list(captions), list(video_ids))
