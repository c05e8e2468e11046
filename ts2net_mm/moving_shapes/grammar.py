"""What a moving-shapes video can mean, the sentences that say it, and what is held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

SPLITS = ('train', 'val', 'test')

COLOURS = ('red', 'green', 'blue', 'yellow', 'white', 'purple', 'orange', 'cyan', 'pink')
SHAPES = ('circle', 'triangle')

OPPOSITES = {
    'left': 'right',
    'right': 'left',
    'up': 'down',
    'down': 'up',
    'grows': 'shrinks',
    'shrinks': 'grows',
}
EVENTS = tuple(OPPOSITES)

_PHRASES = {
    'left': ('moves left', 'slides to the left', 'goes left'),
    'right': ('moves right', 'slides to the right', 'goes right'),
    'up': ('moves up', 'slides to the top', 'rises'),
    'down': ('moves down', 'slides to the bottom', 'sinks'),
    'grows': ('grows', 'gets bigger', 'becomes larger'),
    'shrinks': ('shrinks', 'gets smaller', 'becomes tiny'),
}
_ONE_EVENT = '{object} {first}'
_TWO_EVENTS = (
    '{object} {first} and then {second}',
    '{object} first {first} then {second}',
    '{object} {first} before it {second}',
)
# held out of training for each of validation and test: halves of reversal pairs, other meanings
_HELD_OUT_SIZE = (100, 100)


@dataclass(frozen=True, order=True)
class Meaning:
    """One object and what it does, in order.

    Args:
        colour: One of ``COLOURS``.
        shape: One of ``SHAPES``.
        events: One event of ``EVENTS``, or two different ones.

    Example:
        >>> meaning = Meaning('red', 'circle', ('left', 'grows'))
        >>> print(meaning, '|', meaning.reversal)
        red circle: left, grows | red circle: shrinks, right
    """

    colour: str
    shape: str
    events: tuple[str, ...]

    def __str__(self) -> str:
        return f'{self.colour} {self.shape}: {", ".join(self.events)}'

    @property
    def reversal(self) -> Meaning:
        """The meaning of a video of this meaning played backwards."""
        events = tuple(OPPOSITES[event] for event in reversed(self.events))
        return Meaning(self.colour, self.shape, events)


def all_meanings() -> list[Meaning]:
    """List the 648 meanings: 18 objects times 6 single events and 30 ordered pairs of events."""
    sequences = [*permutations(EVENTS, 1), *permutations(EVENTS, 2)]
    return [Meaning(*parts) for parts in product(COLOURS, SHAPES, sequences)]


def all_captions(meaning: Meaning) -> list[str]:
    """List every sentence of the grammar with this meaning: 6 for one event, 54 for two."""
    a = 'an' if meaning.colour[0] in 'aeiou' else 'a'
    objects = [f'{article} {meaning.colour} {meaning.shape}' for article in (a, 'the')]
    phrases = [_PHRASES[event] for event in meaning.events]
    if len(phrases) == 1:
        return [
            _ONE_EVENT.format(object=name, first=first)
            for name, first in product(objects, phrases[0])
        ]
    return [
        template.format(object=name, first=first, second=second)
        for name, template, first, second in product(objects, _TWO_EVENTS, *phrases)
    ]


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

    Every object and every sequence of events therefore stays in training, and the held-out
    meanings are only new combinations of them.

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
    # A sequence such as (left, right) is its own reversal, so it has no counterpart.
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

    def cost(meaning: Meaning) -> int:
        # There are twice as many sequences as objects, so each is expected half as often.
        return 2 * usage[meaning.events] + usage[meaning.colour, meaning.shape]

    remaining = list(groups)
    chosen = []
    for _ in range(count):
        best = min(remaining, key=lambda group: sum(map(cost, group)))
        remaining.remove(best)
        chosen.append(best)
        for meaning in best:
            usage.update([meaning.events, (meaning.colour, meaning.shape)])
    return chosen
