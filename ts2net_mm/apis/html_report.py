"""Write what a search found as one web page that needs nothing else."""

from __future__ import annotations

import base64
import math
import os
import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ..utils.files import write_text
from ..utils.text import printable
from ..utils.workers import Failure
from .reading import Frame

if TYPE_CHECKING:
    from .inferencer import RetrievalInferencer, SearchHit

__all__ = ['make_place', 'write_html_report']

# The policy keeps the page from fetching anything, wherever it is opened
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; media-src file:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""

STYLE = """\
:root { --page: #f4f5f7; --card: #fff; --ink: #1a1d23; --soft: #626a78; --line: #dfe2e8;
  --mark: #2f6feb; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14161a; --card: #1e2127; --ink: #e8eaee; --soft: #9aa3b2; --line: #31363f;
    --mark: #6ea0ff; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.45 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { margin: 32px 0 4px; font-size: 1.5rem; font-weight: 650; line-height: 1.25;
  overflow-wrap: anywhere; }
h1:first-child { margin-top: 0; }
.about { margin: 0 0 16px; color: var(--soft); font-size: .875rem; overflow-wrap: anywhere; }
ol { margin: 0; padding: 0; list-style: none; }
li { margin: 0 0 12px; padding: 12px 14px 14px; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; }
.hit { display: flex; align-items: baseline; gap: 10px; margin-bottom: 10px; }
.rank { flex: none; min-width: 1.7em; padding: 0 .45em; border-radius: 99px; text-align: center;
  background: var(--line); font-weight: 650; font-variant-numeric: tabular-nums; }
li:first-child .rank { background: var(--mark); color: var(--card); }
.name { flex: 1; font-weight: 550; overflow-wrap: anywhere; }
.score { flex: none; color: var(--soft); font-variant-numeric: tabular-nums; }
a { color: inherit; text-decoration-color: var(--mark); text-underline-offset: 3px; }
.path { margin: -6px 0 12px; color: var(--soft); font: .8125rem/1.4 ui-monospace, monospace;
  overflow-wrap: anywhere; user-select: all; }
.look { display: grid; grid-template-columns: 1fr 1fr; gap: 14px; align-items: start; }
.look.frames { grid-template-columns: 1fr; }
.play p { margin: 6px 0 0; color: var(--soft); font-size: .8125rem; }
video { display: block; width: 100%; max-height: 420px; border-radius: 6px; background: #000; }
.strip { display: grid; grid-template-columns: repeat(auto-fit, minmax(132px, 1fr)); gap: 8px; }
.strip a { display: block; text-decoration: none; }
figure { margin: 0; }
img { display: block; width: 100%; height: auto; border-radius: 4px; background: var(--line); }
figure.best img { outline: 3px solid var(--mark); }
figure.best figcaption { color: var(--mark); font-weight: 650; }
figcaption { margin-top: 3px; color: var(--soft); font-size: .6875rem; line-height: 1.2;
  text-align: center; font-variant-numeric: tabular-nums; }
.facts { display: grid; grid-template-columns: auto 1fr; gap: 2px 14px; margin: 0 0 28px;
  font-size: .875rem; overflow-wrap: anywhere; }
dt { color: var(--soft); }
dd { margin: 0; }
footer { margin-top: 28px; padding-top: 14px; border-top: 1px solid var(--line);
  color: var(--soft); font-size: .8125rem; }
.none { margin: 0; color: var(--soft); }
@media (max-width: 640px) {
  main { padding: 16px 10px 32px; }
  h1 { font-size: 1.25rem; }
  li { padding: 10px; }
  .look { grid-template-columns: 1fr; }
  .strip { gap: 6px; }
}"""

FOOTER = """\
<footer>Links and players open the videos where they were when this page was written: the page may
be moved, the videos may not. They open from a page on this computer, not from one that a server
delivers. A browser plays the formats that it knows, such as MP4 with H.264 and WebM; open others
from their path, which a click selects.</footer>"""


def write_html_report(
    path: str | Path,
    results: Mapping[str, Sequence[SearchHit]],
    inferencer: RetrievalInferencer,
    *,
    num_videos: int | None = None,
    num_workers: int | None = None,
) -> None:
    """Write one self-contained page with a strip of frames for each hit.

    The frames are those that the model looked at, the best one and at most 12 evenly spaced; they
    are shown whole, before the crop, and stand in the page itself. Names and frames are links to
    the video file, and a player starts at the best frame. Links and players hold absolute
    ``file:`` addresses: the page may be moved, the videos may not. A browser opens them from a page
    on disk, not from one that a server delivers, and plays the formats that it knows.

    Args:
        path: The page; missing folders are made. It is there whole or not at all.
        results: Hits by sentence.
        inferencer: Reads the frames.
        num_videos: How many videos were searched, if the page is to say so.
        num_workers: Processes that decode.

    Raises:
        OSError: If the page cannot be written.
    """
    path = make_place(path)
    best: dict[str, set[float]] = {}
    for hit in (hit for hits in results.values() for hit in hits):
        best.setdefault(str(hit.path), set()).update(
            [] if hit.best_seconds is None else [hit.best_seconds]
        )
    strips = inferencer.read_frames(list(best), large=best, num_workers=num_workers)
    sections = (_section(text, hits, strips) for text, hits in results.items())
    body = '\n'.join([_facts(inferencer, results, num_videos), *sections, FOOTER])
    title = _clean(' · '.join(results))
    page = PAGE.format(title=title, style=STYLE, body=body)
    write_text(path, page)


def make_place(path: str | Path) -> Path:
    """Make the folder of a page; fails where the page cannot be written.

    Raises:
        OSError: If the path is a folder, or its own folder cannot be made or written.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise IsADirectoryError(f'page {path} is a folder, expected a file name')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f'folder of page {path} cannot be made: {error.strerror}') from error
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f'folder of page {path} cannot be written')
    return path


def _facts(
    inferencer: RetrievalInferencer,
    results: Mapping[str, Sequence[SearchHit]],
    num_videos: int | None,
) -> str:
    """Name model, folder and date."""
    folders = sorted({str(_folder(hit)) for hits in results.values() for hit in hits})
    count = f' ({num_videos} videos)' if num_videos else ''
    facts = [('Model', inferencer.name), *(('Folder', folder + count) for folder in folders)]
    facts.append(('Date', time.strftime('%Y-%m-%d %H:%M')))
    rows = ''.join(f'<dt>{name}</dt><dd>{_clean(fact)}</dd>\n' for name, fact in facts)
    return f'<dl class="facts">\n{rows}</dl>'


def _folder(hit: SearchHit) -> Path:
    """The folder that was searched."""
    path = hit.path.absolute()
    return path.parents[len(Path(hit.name).parts) - 1]


def _section(
    text: str, hits: Sequence[SearchHit], strips: Mapping[str, list[Frame] | Failure]
) -> str:
    items = '\n'.join(_item(hit, strips[str(hit.path)]) for hit in hits)
    what = f'The best {len(hits)} videos' if len(hits) > 1 else 'The best video'
    return (
        f'<h1>{_clean(text)}</h1>\n'
        f'<p class="about">{what}. The number is the similarity to the sentence, 1 at most.</p>\n'
        f'<ol>\n{items}\n</ol>'
    )


def _item(hit: SearchHit, strip: list[Frame] | Failure) -> str:
    is_file = not hit.path.is_dir()  # a folder of pictures has no player
    poster = ''
    if isinstance(strip, Failure):
        frames = f'<p class="none">Its frames cannot be shown: {_clean(strip.reason)}</p>'
    else:
        columns = _columns(strip, beside_player=is_file)
        figures = '\n'.join(
            _figure(frame, hit, number, is_file) for number, frame in enumerate(strip, start=1)
        )
        frames = (
            f'<div class="strip" style="grid-template-columns: repeat({columns}, 1fr)">\n'
            f'{figures}\n</div>'
        )
        poster = ''.join(f' poster="{_data(one)}"' for one in strip if _is_best(one, hit))
    seconds = hit.best_seconds if is_file else None
    address = _address(hit, seconds)
    player = (
        f'<div class="play"><video controls preload="none"{poster} src="{address}" '
        f'aria-label="{_clean(hit.name)}"></video>\n<p>{_starts(seconds)}</p></div>\n'
    )
    return (
        f'<li>\n<div class="hit"><span class="rank">{hit.rank}</span>'
        f'<span class="name"><a href="{address}">{_clean(hit.name)}</a></span>'
        f'<span class="score">{hit.score:.4f}</span></div>\n'
        f'<p class="path">{_clean(str(hit.path.absolute()))}</p>\n'
        f'<div class="look{"" if is_file else " frames"}">\n{player if is_file else ""}{frames}\n'
        '</div>\n</li>'
    )


def _columns(strip: Sequence[Frame], *, beside_player: bool) -> int:
    """Columns with which the frames cover about the height of the player, or half of that."""
    frame = strip[0].width / strip[0].height
    area = max(frame, 5 / 4) if beside_player else 4 * max(frame, 5 / 4)  # width by height
    return min(len(strip), math.ceil(math.sqrt(len(strip) * area / frame)))


def _figure(frame: Frame, hit: SearchHit, number: int, is_file: bool) -> str:
    is_best = _is_best(frame, hit)
    seconds = frame.seconds
    when = f'frame {number}' if seconds is None else f'frame at {_clock(seconds)}'
    alt = f'{_clean(hit.name)}, {when}{", the best" if is_best else ""}'
    image = f'<img alt="{alt}" width="{frame.width}" height="{frame.height}" src="{_data(frame)}">'
    if is_file and seconds is not None:
        image = f'<a href="{_address(hit, seconds)}">{image}</a>'
    caption = '' if seconds is None else f'<figcaption>{_clock(seconds)}</figcaption>'
    return f'<figure{" class=best" if is_best else ""}>{image}{caption}</figure>'


def _is_best(frame: Frame, hit: SearchHit) -> bool:
    return frame.seconds is not None and frame.seconds == hit.best_seconds


def _address(hit: SearchHit, seconds: float | None) -> str:
    """Address of a file, at a time: https://www.w3.org/TR/media-frags."""
    # upwards, because a moment earlier the frame before is shown
    start = '' if seconds is None else f'#t={math.ceil(1000 * seconds) / 1000:.3f}'
    return escape(hit.path.absolute().as_uri() + start)


def _data(frame: Frame) -> str:
    return f'data:image/jpeg;base64,{base64.b64encode(frame.jpeg).decode("ascii")}'


def _starts(seconds: float | None) -> str:
    return (
        'starts at the beginning'
        if seconds is None
        else f'starts at {_clock(seconds)}, the best frame'
    )


def _clean(text: str) -> str:
    return escape(printable(text))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    return f'{int(minutes)}:{rest:04.1f}'
