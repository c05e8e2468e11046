"""What a moving-shapes video can mean, and the sentences that say it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import permutations, product

__all__ = ['COLOURS', 'EVENTS', 'SHAPES', 'Meaning', 'all_captions', 'all_meanings']

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

    @property
    def parts(self) -> Mapping[Hashable, int]:
        """The object and the sequence of events, with the weights of their usage."""
        # There are twice as many sequences as objects, so each is expected half as often.
        return {self.events: 2, (self.colour, self.shape): 1}


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
