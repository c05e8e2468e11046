"""Which meanings are seen in training and which only in validation and testing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .grammar import Meaning, all_meanings

# (meanings that are one half of a time-reversal pair, other meanings)
_HELD_OUT_SIZE = (100, 100)


@dataclass(frozen=True)
class HeldOut:
    """Meanings of an evaluation split.

    Args:
        pairs: Meanings with their time reversals.
        others: The remaining meanings.
    """

    pairs: tuple[tuple[Meaning, Meaning], ...]
    others: tuple[Meaning, ...]

    @property
    def meanings(self) -> list[Meaning]:
        """All meanings of the split, those of the pairs first."""
        return [meaning for pair in self.pairs for meaning in pair] + list(self.others)


@dataclass(frozen=True)
class Split:
    """The 648 meanings, each in exactly one part.

    Args:
        train: 248 meanings to learn from.
        val: 200 meanings, 50 reversal pairs among them, for choosing settings.
        test: 200 meanings, 50 reversal pairs among them, for the report.
    """

    train: tuple[Meaning, ...]
    val: HeldOut
    test: HeldOut


def split_meanings(rng: np.random.Generator) -> Split:
    """Divide all meanings at random, evenly over the objects and over the event sequences.

    Evenly, so that every object and every sequence of events stays in training and the held-out
    meanings differ from the seen ones by their combination alone.

    Args:
        rng: Source of all choices.
    """
    meanings = all_meanings()
    pool = [meanings[index] for index in rng.permutation(len(meanings))]
    test, pool = _hold_out(pool, *_HELD_OUT_SIZE)
    val, pool = _hold_out(pool, *_HELD_OUT_SIZE)
    return Split(train=tuple(pool), val=val, test=test)


def _hold_out(
    pool: list[Meaning], num_paired: int, num_others: int
) -> tuple[HeldOut, list[Meaning]]:
    """Take meanings out of ``pool``, first whole reversal pairs, and return what is left."""
    # A sequence such as (left, right) is its own reversal and cannot be told from it.
    available = set(pool)
    pairs = [
        (meaning, meaning.reversal)
        for meaning in pool
        if meaning < meaning.reversal and meaning.reversal in available
    ]
    usage: Counter[tuple[str, ...]] = Counter()
    chosen_pairs = _take_evenly(pairs, num_paired // 2, usage)
    taken = {meaning for pair in chosen_pairs for meaning in pair}
    singles = [(meaning,) for meaning in pool if meaning not in taken]
    others = [single[0] for single in _take_evenly(singles, num_others, usage)]
    taken.update(others)
    held_out = HeldOut(pairs=tuple(chosen_pairs), others=tuple(others))
    return held_out, [meaning for meaning in pool if meaning not in taken]


def _take_evenly(groups: Iterable, count: int, usage: Counter[tuple[str, ...]]) -> list:
    """Take ``count`` groups, always the first of those whose object and events are used least."""
    remaining = list(groups)
    chosen = []
    for _ in range(count):
        best = min(remaining, key=lambda group: sum(_cost(meaning, usage) for meaning in group))
        remaining.remove(best)
        chosen.append(best)
        for meaning in best:
            usage.update([meaning.events, (meaning.colour, meaning.shape)])
    return chosen


def _cost(meaning: Meaning, usage: Counter[tuple[str, ...]]) -> int:
    # There are twice as many sequences as objects, so each is due half as often.
    return 2 * usage[meaning.events] + usage[meaning.colour, meaning.shape]
