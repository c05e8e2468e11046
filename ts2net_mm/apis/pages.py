"""Render web pages that are one file each, with all pictures inside."""

import base64
import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from ..utils.files import ensure_writable, write_text
from ..utils.text import printable
from ..utils.workers import Failure
from .hits import SearchHit
from .inferencer import RetrievalInferencer
from .reading import Frame
from .timeline import TIMELINE_SCRIPT, Scale, TimelineFrame, make_timeline

__all__ = ['PAGE_STYLE', 'make_environment', 'render_page', 'write_html_report']

PAGE_STYLE = Path(__file__).with_name('templates') / 'page.css'
START = 'startPlayers(Player);\n'
Strip = list[Frame] | Failure


def write_html_report(
    path: str | Path,
    results: Mapping[str, Sequence[SearchHit]],
    inferencer: RetrievalInferencer,
    *,
    num_videos: int | None = None,
    num_workers: int | None = None,
) -> None:
    """Write one self-contained page with a timeline of frames for each hit.

    The frames are those that the model sees of the moment that was found, or else of the whole
    video, each below a bar: its similarity to the sentence. Pictures of the best one and of at most
    12 evenly spaced are shown before the crop and embedded in the page. A player starts at the best
    frame, and a click on a frame plays from there. Links and players hold absolute ``file:``
    addresses: the page may be moved, the videos may not. A browser opens them from a page on disk,
    not from one that a server delivers, and plays the formats that it knows.

    Args:
        path: The page; missing folders are made. It is written atomically.
        results: Hits by sentence.
        inferencer: Reads the frames.
        num_videos: Number of videos that were searched, to be shown.
        num_workers: Processes that decode.

    Raises:
        OSError: If the page cannot be written.
    """
    path = ensure_writable(path, 'page')
    all_hits = [hit for hits in results.values() for hit in hits]
    page = render_page(
        'search.html',
        model=inferencer.name,
        folders=sorted({_searched_folder(hit) for hit in all_hits}),
        num_videos=num_videos,
        date=time.strftime('%Y-%m-%d %H:%M'),
        cards=_make_cards(results, _read_strips(all_hits, inferencer, num_workers)),
        script=TIMELINE_SCRIPT.read_text(encoding='utf-8') + START,
    )
    write_text(path, page)


@dataclass(frozen=True)
class _Card:
    """A hit on the page.

    Args:
        hit: The hit.
        is_file: Whether it is a file, which has a player, and not a folder of pictures.
        frames: Its frames.
        poster: Address of the picture of the best frame; None if there is none.
        problem: Why there are no pictures; None if there are.
    """

    hit: SearchHit
    is_file: bool
    frames: list[TimelineFrame]
    poster: str | None
    problem: str | None

    @property
    def address(self) -> str:
        """Address of the file."""
        return self.hit.path.absolute().as_uri()


def _make_cards(
    results: Mapping[str, Sequence[SearchHit]],
    strips: Mapping[tuple[str, tuple[float, ...]], Strip],
) -> dict[str, list[_Card]]:
    """Describe the hits of each sentence for the page."""
    cards: dict[str, list[_Card]] = {}
    for sentence, hits in results.items():
        scale = Scale.from_scores(score for hit in hits for score in hit.frame_scores)
        cards[sentence] = []
        for hit in hits:
            strip = strips[str(hit.path), _times_of(hit)]
            problem = strip.reason if isinstance(strip, Failure) else None
            shown = [] if isinstance(strip, Failure) else strip
            pictures = {frame.number: _data_uri(frame) for frame in shown}
            frames = make_timeline(hit.frame_scores, hit.frame_seconds, scale, pictures)
            poster = pictures.get(hit.best_frame)
            cards[sentence].append(_Card(hit, not hit.path.is_dir(), frames, poster, problem))
    return cards


def _read_strips(
    hits: Sequence[SearchHit], inferencer: RetrievalInferencer, num_workers: int | None
) -> dict[tuple[str, tuple[float, ...]], Strip]:
    """Read the frames of each hit: by path and times, as sentences may find other moments of it."""
    best: dict[str, dict[tuple[float, ...], set[float]]] = {}
    for hit in hits:
        seconds = best.setdefault(str(hit.path), {}).setdefault(_times_of(hit), set())
        if hit.best_seconds is not None:
            seconds.add(hit.best_seconds)
    strips: dict[tuple[str, tuple[float, ...]], Strip] = {}
    # a call reads a moment of each video
    for number in range(max(map(len, best.values()), default=0)):
        moments = {path: list(found)[number] for path, found in best.items() if number < len(found)}
        large = {path: best[path][times] for path, times in moments.items()}
        read = inferencer.read_frames(
            list(moments), large=large, times=moments, num_workers=num_workers
        )
        strips |= {(path, moments[path]): strip for path, strip in read.items()}
    return strips


def _times_of(hit: SearchHit) -> tuple[float, ...]:
    """Return the times of the frames; none if they are unknown, as those of a whole video are."""
    return () if any(map(math.isnan, hit.frame_seconds)) else hit.frame_seconds


def make_environment(*packages: str) -> Environment:
    """Return the environment of pages: values are escaped, made printable, and never missing.

    Args:
        packages: Packages with a folder ``templates``; the first that has a template wins.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(at=_at, clock=_clock, data_uri=_data_uri, sha256=_sha256)
    return environment


def render_page(template: str, **values: Any) -> str:
    """Fill a template of ``templates/``; all values are escaped, and made printable."""
    return _ENVIRONMENT.get_template(template).render(values)


def _finalize(value: Any) -> Any:
    """Make a value printable, except for what macros and blocks have rendered."""
    return value if hasattr(value, '__html__') else printable(str(value))


def _at(seconds: float | None) -> str:
    """End of an address, for a time: https://www.w3.org/TR/media-frags."""
    # rounded up, because slightly earlier the previous frame is shown
    return '' if seconds is None else f'#t={math.ceil(1000 * seconds) / 1000:.3f}'


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    return f'{int(minutes)}:{rest:04.1f}'


def _data_uri(frame: Frame) -> str:
    return f'data:image/jpeg;base64,{base64.b64encode(frame.jpeg).decode("ascii")}'


def _sha256(script: str) -> str:
    """Hash a script as a policy names it: https://www.w3.org/TR/CSP3."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')


def _searched_folder(hit: SearchHit) -> str:
    return str(hit.path.absolute().parents[len(Path(hit.name).parts) - 1])


_ENVIRONMENT = make_environment('ts2net_mm.apis')
