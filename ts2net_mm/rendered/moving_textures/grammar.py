"""What a moving-textures video can mean, and the sentences that say it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import product

__all__ = ['MOTIONS', 'SIDES', 'SPEEDS', 'Meaning', 'Motion', 'all_captions', 'all_meanings']

SIDES = ('left', 'right')
SPEEDS = ('slow', 'fast')
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
    """What the dots of each half of the picture do.

    Args:
        motions: The movement of the left and of the right half; None for dots without one.

    Example:
        >>> meaning = Meaning((Motion('up', 'slow'), None))
        >>> print(meaning, '|', meaning.reversal)
        left: up slow | left: down slow
    """

    motions: tuple[Motion | None, Motion | None]

    def __str__(self) -> str:
        return ', '.join(f'{side}: {motion}' for side, motion in self.moving)

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
        return Meaning((left and left.reversal, right and right.reversal))

    @property
    def parts(self) -> Mapping[Hashable, int]:
        """The movement of each half."""
        return {(side, motion): 1 for side, motion in zip(SIDES, self.motions, strict=True)}


def all_meanings() -> list[Meaning]:
    """List the 288 meanings: 16 movements or none in each half, and one half at least moves."""
    motions = [None, *(Motion(*parts) for parts in product(MOTIONS, SPEEDS))]
    return [Meaning(pair) for pair in product(motions, repeat=2) if pair != (None, None)]


def all_captions(meaning: Meaning) -> list[str]:
    """List every sentence of the grammar with this meaning: 8 for one half, 256 for two."""
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
        return clauses[0]
    left, right = clauses
    return [
        joint.join(order)
        for first, second in product(left, right)
        for joint in _JOINTS
        for order in ((first, second), (second, first))
    ]
