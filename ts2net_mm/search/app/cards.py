"""What the page shows of a search: cards with players and strips of frames."""

from __future__ import annotations

import math
import mimetypes
from dataclasses import dataclass

from ..results import Hit, Moment, SearchResult
from ..view import View
from .library import Library, key_of

__all__ = ['Card', 'MomentStrip', 'StripFrame', 'make_cards', 'media_type_of']


@dataclass(frozen=True)
class StripFrame:
    """A frame on a strip.

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


@dataclass(frozen=True)
class MomentStrip:
    """A moment with its frames.

    Args:
        moment: The moment.
        frames: Its frames, in their order.
        more: Address of the search for moments that resemble it.
    """

    moment: Moment
    frames: list[StripFrame]
    more: str

    @property
    def poster(self) -> str | None:
        """Address of the picture of the best frame."""
        return next((frame.picture for frame in self.frames if frame.is_best), None)


@dataclass(frozen=True)
class Card:
    """A hit.

    Args:
        hit: The hit.
        key: Key of the video.
        name: Its name in the folder of all videos.
        withheld: Why its file is not shown; None if it is.
        moments: The best first.
    """

    hit: Hit
    key: str
    name: str
    withheld: str | None
    moments: list[MomentStrip]

    @property
    def address(self) -> str:
        """Address of the file."""
        return f'/video/{self.key}'


def make_cards(result: SearchResult, view: View, library: Library) -> list[Card]:
    """Describe the hits of a search for the page."""
    scores = [s for hit in result.hits for moment in hit.moments for s in moment.frame_scores]
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return [_card(hit, view, library, low, high) for hit in result.hits]


def media_type_of(path: str) -> str:
    """Return the media type of a video; a file with another ending must not open as a page."""
    found = mimetypes.guess_type(f'file{path[path.rfind(".") :]}')[0] or ''
    return found if found.startswith('video/') else 'application/octet-stream'


def _card(hit: Hit, view: View, library: Library, low: float, high: float) -> Card:
    key = key_of(hit.path)
    video = library.find(view, key)
    if video is None:  # the view of the search has it
        raise LookupError(hit.path)
    withheld = library.why_withheld(view, video)
    moments = [_strip(moment, key, withheld is None, low, high) for moment in hit.moments]
    return Card(hit, key, library.short_name(view, video), withheld, moments)


def _strip(moment: Moment, key: str, has_file: bool, low: float, high: float) -> MomentStrip:
    has_pictures = has_file and not any(map(math.isnan, moment.frame_seconds))
    times = ','.join(f'{seconds:.3f}' for seconds in moment.frame_seconds)
    best = max(range(len(moment.frame_scores)), key=moment.frame_scores.__getitem__)
    frames = [
        StripFrame(
            seconds=None if math.isnan(seconds) else seconds,
            score=score,
            height=round(100 * (score - low) / (high - low)) if high > low else 100,
            is_best=number == best,
            picture=f'/frames/{key}/{number}.jpg?t={times}' if has_pictures else None,
        )
        for number, (seconds, score) in enumerate(
            zip(moment.frame_seconds, moment.frame_scores, strict=True)
        )
    ]
    return MomentStrip(moment, frames, f'/?like={key}&at={moment.start:.3f}')
