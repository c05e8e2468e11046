"""What a moving-textures video can mean, and the sentences that say it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import product

__all__ = ['DIRECTIONS', 'GROUNDS', 'Meaning', 'all_captions', 'all_meanings']

OPPOSITES = {'left': 'right', 'right': 'left', 'up': 'down', 'down': 'up'}
DIRECTIONS = tuple(OPPOSITES)
GROUNDS = ('red', 'green', 'blue', 'yellow', 'white', 'purple', 'orange', 'cyan')

_PHRASES = {
    'left': ('move left', 'drift to the left'),
    'right': ('move right', 'drift to the right'),
    'up': ('move up', 'rise'),
    'down': ('move down', 'sink'),
}
_TEMPLATES = (
    'dots {phrase} on ground that is {above} above and {below} below',
    'the ground is {above} above, {below} below, and dots {phrase}',
    'dots that {phrase} over {below} ground with {above} above it',
)


@dataclass(frozen=True, order=True)
class Meaning:
    """How dots move, and in front of what.

    Args:
        direction: One of ``DIRECTIONS``.
        above: Colour of the upper half of the ground, one of ``GROUNDS``.
        below: Colour of its lower half.

    Example:
        >>> meaning = Meaning('up', 'red', 'blue')
        >>> print(meaning, '|', meaning.reversal)
        up, red above blue | down, red above blue
    """

    direction: str
    above: str
    below: str

    def __str__(self) -> str:
        return f'{self.direction}, {self.above} above {self.below}'

    @property
    def reversal(self) -> Meaning:
        """The meaning of a video of this meaning played backwards."""
        return Meaning(OPPOSITES[self.direction], self.above, self.below)

    @property
    def parts(self) -> Mapping[Hashable, int]:
        """The direction, and each half of the ground."""
        return {self.direction: 1, ('above', self.above): 1, ('below', self.below): 1}


def all_meanings() -> list[Meaning]:
    """List the 256 meanings: 4 directions in front of 64 grounds."""
    return [Meaning(*parts) for parts in product(DIRECTIONS, GROUNDS, GROUNDS)]


def all_captions(meaning: Meaning) -> list[str]:
    """List the 6 sentences of the grammar with this meaning."""
    return [
        template.format(phrase=phrase, above=meaning.above, below=meaning.below)
        for template in _TEMPLATES
        for phrase in _PHRASES[meaning.direction]
    ]
