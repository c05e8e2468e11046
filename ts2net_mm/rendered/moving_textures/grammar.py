"""What a moving-textures video can mean, and the sentences that say it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import product

__all__ = [
    'GROUNDS',
    'MOTIONS',
    'SIDES',
    'SPEEDS',
    'Meaning',
    'Motion',
    'all_captions',
    'all_meanings',
]

SIDES = ('left', 'right')
SPEEDS = ('slow', 'fast')
GROUNDS = ('red', 'green', 'blue', 'yellow', 'white', 'purple', 'orange', 'cyan')
OPPOSITES = {
    'left': 'right',
    'right': 'left',
    'up': 'down',
    'down': 'up',
    'clockwise': 'anticlockwise',
    'anticlockwise': 'clockwise',
    'expands': 'contracts',
    'contracts': 'expands',
}
MOTIONS = tuple(OPPOSITES)

_PHRASES = {
    'left': ('move left', 'drift to the left'),
    'right': ('move right', 'drift to the right'),
    'up': ('move up', 'rise'),
    'down': ('move down', 'sink'),
    'clockwise': ('turn clockwise', 'rotate clockwise'),
    'anticlockwise': ('turn anticlockwise', 'rotate anticlockwise'),
    'expands': ('expand', 'spread out'),
    'contracts': ('contract', 'draw together'),
}
_ADVERBS = {'slow': ('slowly', 'at low speed'), 'fast': ('fast', 'at high speed')}
_ONE_SIDE = ('the dots on the {side} {phrase} {adverb}', 'on the {side} dots {phrase} {adverb}')
_JOINTS = (' while ', ' and ')


@dataclass(frozen=True, order=True)
class Motion:
    """A coherent movement of dots.

    Args:
        kind: One of ``MOTIONS``.
        speed: One of ``SPEEDS``.
    """

    kind: str
    speed: str

    def __str__(self) -> str:
        return f'{self.kind} {self.speed}'

    @property
    def reversal(self) -> Motion:
        """The same movement played backwards."""
        return Motion(OPPOSITES[self.kind], self.speed)


@dataclass(frozen=True)
class Meaning:
    """What the dots of each half of the picture do, and in front of what.

    Args:
        motions: The movement of the left and of the right half; None for dots without one.
        ground: Colour of the background if the sentence names it, one of ``GROUNDS``.

    Example:
        >>> meaning = Meaning((Motion('up', 'slow'), None))
        >>> print(meaning, '|', meaning.reversal)
        left: up slow | left: down slow
    """

    motions: tuple[Motion | None, Motion | None]
    ground: str | None = None

    def __str__(self) -> str:
        named = [f'ground: {self.ground}'] if self.ground else []
        return ', '.join([*named, *(f'{side}: {motion}' for side, motion in self.moving)])

    def __lt__(self, other: Meaning) -> bool:
        return str(self) < str(other)

    @property
    def moving(self) -> list[tuple[str, Motion]]:
        """The halves with a movement."""
        return [(side, m) for side, m in zip(SIDES, self.motions, strict=True) if m is not None]

    @property
    def reversal(self) -> Meaning:
        """The meaning of a video of this meaning played backwards."""
        left, right = self.motions
        return Meaning((left and left.reversal, right and right.reversal), self.ground)

    @property
    def parts(self) -> Mapping[Hashable, int]:
        """The movement of each half, and the background."""
        parts: list[Hashable] = list(zip(SIDES, self.motions, strict=True))
        return dict.fromkeys([*parts, self.ground] if self.ground else parts, 1)


def all_meanings(num_grounds: int = 0) -> list[Meaning]:
    """List the meanings: 16 movements or none in each half, and one half at least moves.

    Args:
        num_grounds: Backgrounds that sentences name; with 0 there are 288 meanings, else 288 each.
    """
    motions = [None, *(Motion(*parts) for parts in product(MOTIONS, SPEEDS))]
    grounds = GROUNDS[:num_grounds] or (None,)
    found = [Meaning((left, right), g) for g, left, right in product(grounds, motions, motions)]
    return [meaning for meaning in found if meaning.moving]


def all_captions(meaning: Meaning) -> list[str]:
    """List every sentence of the grammar with this meaning: 8 for one half, 256 for two."""
    start = f'on {meaning.ground} ground ' if meaning.ground else ''
    clauses = [
        [
            template.format(side=side, phrase=phrase, adverb=adverb)
            for template in _ONE_SIDE
            for phrase in _PHRASES[motion.kind]
            for adverb in _ADVERBS[motion.speed]
        ]
        for side, motion in meaning.moving
    ]
    if len(clauses) == 1:
        return [start + clause for clause in clauses[0]]
    left, right = clauses
    return [
        start + joint.join(order)
        for first, second in product(left, right)
        for joint in _JOINTS
        for order in ((first, second), (second, first))
    ]
