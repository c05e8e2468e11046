"""The frames of a video with their similarity to a query, as pages show them: pictures and bars."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ['TIMELINE_SCRIPT', 'Scale', 'TimelineFrame', 'make_timeline', 'number_of_best']

# The template ``timeline.html`` shows the frames, ``page.css`` styles them, and this makes a click
# on a frame play from there.
TIMELINE_SCRIPT = Path(__file__).with_name('templates') / 'timeline.js'


@dataclass(frozen=True)
class Scale:
    """Maps similarities to the heights of bars.

    Args:
        low: What has no height.
        high: What has the full height.
    """

    low: float
    high: float

    @classmethod
    def from_scores(cls, scores: Iterable[float]) -> Scale:
        """Return the scale from the lowest to the highest of some similarities.

        Example:
            >>> Scale.from_scores([0.1, 0.3, 0.2]).percent(0.2)
            50
        """
        scores = list(scores)
        return cls(min(scores, default=0.0), max(scores, default=0.0))

    def percent(self, value: float) -> int:
        """Return the height of a similarity, 0 to 100."""
        if self.high <= self.low:
            return 100
        return round(100 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0))


@dataclass(frozen=True)
class TimelineFrame:
    """A frame on a timeline.

    Args:
        seconds: Presentation time; None if unknown.
        score: Cosine to the query.
        height: Of its bar, percent.
        is_best: Whether it fits best.
        picture: Address of its picture; None if there is none.
    """

    seconds: float | None
    score: float
    height: int
    is_best: bool
    picture: str | None


def make_timeline(
    scores: Sequence[float],
    seconds: Sequence[float],
    scale: Scale,
    pictures: Mapping[int, str],
) -> list[TimelineFrame]:
    """Describe the frames of a video or a moment.

    Args:
        scores: Cosine of the query and each frame.
        seconds: Presentation time of each frame; NaN if unknown.
        scale: The heights of the bars.
        pictures: Addresses of pictures, by the number of their frame.
    """
    best = number_of_best(scores)
    return [
        TimelineFrame(
            seconds=None if math.isnan(time) else time,
            score=score,
            height=scale.percent(score),
            is_best=number == best,
            picture=pictures.get(number),
        )
        for number, (score, time) in enumerate(zip(scores, seconds, strict=True))
    ]


def number_of_best(scores: Sequence[float]) -> int:
    """Return the place of the largest score, the first of equal ones."""
    return max(range(len(scores)), key=scores.__getitem__)
