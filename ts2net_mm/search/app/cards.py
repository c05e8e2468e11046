"""What the page shows of a search: cards with players and strips of frames."""

from __future__ import annotations

import math
import mimetypes
from dataclasses import dataclass

import numpy as np

from ...apis.timeline import Scale, TimelineFrame, make_timeline
from ..index_view import IndexView
from ..results import Hit, Moment, SearchResult
from ..view import StoredVideo
from .video_library import Library, key_of

__all__ = ['Card', 'MomentStrip', 'OverviewBar', 'make_cards', 'media_type_of']


MAX_BARS = 100  # of an overview
MAX_WINDOWS = 200  # that it reads; of longer videos every second, third, ...


@dataclass(frozen=True)
class MomentStrip:
    """A moment with its frames.

    Args:
        moment: The moment.
        frames: Its frames, in their order.
        more: Address of the search for moments that resemble it.
    """

    moment: Moment
    frames: list[TimelineFrame]
    more: str

    @property
    def poster(self) -> str | None:
        """Address of the picture of the best frame."""
        return next((frame.picture for frame in self.frames if frame.is_best), None)


@dataclass(frozen=True)
class OverviewBar:
    """A part of a video on the overview of its length.

    Args:
        start: Where it begins, percent of the video.
        width: Percent of the video.
        height: The similarity of its best frame, percent of the highest of the page.
    """

    start: float
    width: float
    height: int


@dataclass(frozen=True)
class Card:
    """A hit.

    Args:
        hit: The hit.
        key: Key of the video.
        name: Its name in the folder of all videos.
        withheld: Why its file is not shown; None if it is.
        moments: The best first.
        overview: Bars over the length of the video; none if it has a single window.
    """

    hit: Hit
    key: str
    name: str
    withheld: str | None
    moments: list[MomentStrip]
    overview: list[OverviewBar]

    @property
    def address(self) -> str:
        """Address of the file."""
        return f'/video/{self.key}'


def make_cards(
    query: np.ndarray, result: SearchResult, view: IndexView, library: Library
) -> list[Card]:
    """Describe the hits of a search for the page."""
    scale = Scale.from_scores(
        score for hit in result.hits for moment in hit.moments for score in moment.frame_scores
    )
    query = query / max(float(np.linalg.norm(query)), 1e-12)
    cards = []
    for hit in result.hits:
        key = key_of(hit.path)
        video = library.find(view, key)
        if video is None:  # it was removed from a database since the search
            continue
        withheld = library.why_withheld(view, video)
        cards.append(
            Card(
                hit=hit,
                key=key,
                name=library.short_name(view, video),
                withheld=withheld,
                moments=[_strip(moment, key, withheld is None, scale) for moment in hit.moments],
                overview=_overview(query, video, view, scale),
            )
        )
    return cards


def media_type_of(path: str) -> str:
    """Return the media type of a video; a file with another ending must not open as a page."""
    found = mimetypes.guess_type(f'file{path[path.rfind(".") :]}')[0] or ''
    return found if found.startswith('video/') else 'application/octet-stream'


def _overview(
    query: np.ndarray, video: StoredVideo, view: IndexView, scale: Scale
) -> list[OverviewBar]:
    """Show the similarity of the frames of all windows over the length of a video."""
    if video.num_windows < 2 or not video.duration > 0:
        return []
    records, num_frames = view.frames_of(video, MAX_WINDOWS)
    counts = np.arange(records['seconds'].shape[1]) < num_frames[:, None]
    similarities = (records['frames'].astype(np.float32) @ query.astype(np.float32))[counts]
    seconds = records['seconds'][counts]
    if not len(seconds) or np.isnan(seconds).any():
        return []
    number = min(MAX_BARS, len(np.unique(seconds)))
    places = np.clip((seconds / video.duration * number).astype(int), 0, number - 1)
    highest = np.full(number, -np.inf)
    np.maximum.at(highest, places, similarities)
    return [
        OverviewBar(100 * place / number, 100 / number, scale.percent(float(highest[place])))
        for place in np.flatnonzero(np.isfinite(highest)).tolist()
    ]


def _strip(moment: Moment, key: str, has_file: bool, scale: Scale) -> MomentStrip:
    has_pictures = has_file and not any(map(math.isnan, moment.frame_seconds))
    times = ','.join(f'{seconds:.3f}' for seconds in moment.frame_seconds)
    pictures = {
        number: f'/frames/{key}/{number}.jpg?t={times}'
        for number in range(len(moment.frame_seconds))
        if has_pictures
    }
    frames = make_timeline(moment.frame_scores, moment.frame_seconds, scale, pictures)
    return MomentStrip(moment, frames, f'/?like={key}&at={moment.start:.3f}')
