"""What a search finds."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ['Hit', 'Moment', 'SearchResult']


@dataclass(frozen=True)
class Moment:
    """A part of a video that fits a query.

    Args:
        score: Between -1 and 1, without the model's logit scale.
        start: Seconds.
        end: Seconds.
        best_seconds: Presentation time of the frame that fits best; None if unknown.
        frame_scores: Cosine of the query and each frame.
        frame_seconds: Presentation time of each frame; NaN if unknown.
    """

    score: float
    start: float
    end: float
    best_seconds: float | None
    frame_scores: list[float] = field(repr=False, default_factory=list)
    frame_seconds: list[float] = field(repr=False, default_factory=list)


@dataclass(frozen=True)
class Hit:
    """A video that a search found.

    Args:
        rank: From 1.
        score: That of its best moment.
        path: Path of the file.
        duration: Seconds; None if unknown.
        moments: Parts that do not overlap, best first. If the result is exact, the first is
            certain to be the video's best.
        calibrated: In a calibrated search, the score minus what the video scores with the query
            bank; else None.
    """

    rank: int
    score: float
    path: str
    duration: float | None
    moments: list[Moment]
    calibrated: float | None = None


@dataclass(frozen=True)
class SearchResult:
    """The videos that fit a query best.

    Args:
        hits: Best first.
        exact: Whether no other video of the index can have a higher score, or calibrated score if
            these rank the hits.
        num_scored: Number of windows whose frames were read.
        exact_as_found: Whether no other video can that an approximate index of a database finds.
        is_calibrated: Whether the hits are ranked by their calibrated scores.
    """

    hits: list[Hit]
    exact: bool
    num_scored: int
    exact_as_found: bool = False
    is_calibrated: bool = False

    @property
    def certificate(self) -> str:
        """What is certain about the hits, in words."""
        if self.exact:
            return 'exact'
        if self.exact_as_found:
            return "exact as far as the index's recall"
        return 'not certain: too many windows may fit as well'
