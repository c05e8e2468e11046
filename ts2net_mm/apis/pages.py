"""Render web pages that are one file each, with all pictures inside."""

import base64
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from ..utils.files import ensure_writable, write_text
from ..utils.text import printable
from ..utils.workers import Failure
from .inferencer import RetrievalInferencer, SearchHit
from .reading import Frame

__all__ = ['PAGE_STYLE', 'make_environment', 'render_page', 'write_html_report']

PAGE_STYLE = Path(__file__).with_name('templates') / 'page.css'


def write_html_report(
    path: str | Path,
    results: Mapping[str, Sequence[SearchHit]],
    inferencer: RetrievalInferencer,
    *,
    num_videos: int | None = None,
    num_workers: int | None = None,
) -> None:
    """Write one self-contained page with a strip of frames for each hit.

    The frames are those that the model sees of the moment that was found, or else of the whole
    video: the best one and at most 12 evenly spaced. They are shown before the crop and embedded in
    the page. Names and frames are links to the video file, and a player starts at the best frame.
    Links and players hold absolute ``file:`` addresses: the page may be moved, the videos may not.
    A browser opens them from a page on disk, not from one that a server delivers, and plays the
    formats that it knows.

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
        results=results,
        strips=_read_strips(all_hits, inferencer, num_workers),
    )
    write_text(path, page)


def _read_strips(
    hits: Sequence[SearchHit], inferencer: RetrievalInferencer, num_workers: int | None
) -> dict[tuple[str, tuple[float, ...]], list[Frame] | Failure]:
    """Read the frames of each hit: by path and times, as sentences may find other moments of it."""
    best: dict[str, dict[tuple[float, ...], set[float]]] = {}
    for hit in hits:
        seconds = best.setdefault(str(hit.path), {}).setdefault(hit.frame_seconds, set())
        if hit.best_seconds is not None:
            seconds.add(hit.best_seconds)
    strips: dict[tuple[str, tuple[float, ...]], list[Frame] | Failure] = {}
    # a call reads a moment of each video
    for number in range(max(map(len, best.values()), default=0)):
        moments = {path: list(found)[number] for path, found in best.items() if number < len(found)}
        large = {path: best[path][times] for path, times in moments.items()}
        read = inferencer.read_frames(
            list(moments), large=large, times=moments, num_workers=num_workers
        )
        strips |= {(path, moments[path]): strip for path, strip in read.items()}
    return strips


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
    environment.filters.update(address=_address, clock=_clock, columns=_columns, data_uri=_data_uri)
    environment.filters.update(at=_at)
    environment.tests.update(best_of=_is_best_of)
    return environment


def render_page(template: str, **values: Any) -> str:
    """Fill a template of ``templates/``; all values are escaped, and made printable."""
    return _ENVIRONMENT.get_template(template).render(values)


def _finalize(value: Any) -> Any:
    """Make a value printable, except for what macros and blocks have rendered."""
    return value if hasattr(value, '__html__') else printable(str(value))


def _address(hit: SearchHit, seconds: float | None) -> str:
    """Address of a file, at a time."""
    return hit.path.absolute().as_uri() + _at(seconds)


def _at(seconds: float | None) -> str:
    """End of an address, for a time: https://www.w3.org/TR/media-frags."""
    # rounded up, because slightly earlier the previous frame is shown
    return '' if seconds is None else f'#t={math.ceil(1000 * seconds) / 1000:.3f}'


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    return f'{int(minutes)}:{rest:04.1f}'


def _columns(strip: Sequence[Frame], beside_player: bool) -> int:
    """Number of columns with which the frames fill the height of the player, or half of it."""
    frame = strip[0].width / strip[0].height
    area = max(frame, 5 / 4) if beside_player else 4 * max(frame, 5 / 4)  # width by height
    return min(len(strip), math.ceil(math.sqrt(len(strip) * area / frame)))


def _data_uri(frame: Frame) -> str:
    return f'data:image/jpeg;base64,{base64.b64encode(frame.jpeg).decode("ascii")}'


def _is_best_of(frame: Frame, hit: SearchHit) -> bool:
    return frame.seconds is not None and frame.seconds == hit.best_seconds


def _searched_folder(hit: SearchHit) -> str:
    return str(hit.path.absolute().parents[len(Path(hit.name).parts) - 1])


_ENVIRONMENT = make_environment('ts2net_mm.apis')
