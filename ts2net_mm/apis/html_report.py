"""Write what a search found as one web page that needs nothing else."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from .reading import Frame
from .text import printable
from .workers import Failure

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
.path { margin: -6px 0 10px; color: var(--soft); font-size: .8125rem; overflow-wrap: anywhere; }
.strip { display: grid; grid-template-columns: repeat(auto-fit, minmax(132px, 1fr)); gap: 8px; }
figure { margin: 0; }
img { display: block; width: 100%; border-radius: 4px; background: var(--line); }
figure.best img { outline: 3px solid var(--mark); }
details { margin-top: 10px; font-size: .875rem; }
summary { width: fit-content; cursor: pointer; color: var(--soft); }
video { display: block; width: 100%; max-height: 70vh; margin-top: 8px; border-radius: 4px;
  background: #000; }
figcaption { color: var(--soft); font-size: .6875rem; text-align: center;
  font-variant-numeric: tabular-nums; }
.none { margin: 0; color: var(--soft); }
@media (max-width: 640px) {
  main { padding: 16px 10px 32px; }
  h1 { font-size: 1.25rem; }
  li { padding: 10px; }
  .strip { grid-template-columns: repeat(3, 1fr); }
}"""


def write_html_report(
    path: str | Path,
    results: Mapping[str, Sequence[SearchHit]],
    inferencer: RetrievalInferencer,
    *,
    num_videos: int | None = None,
    num_workers: int | None = None,
) -> None:
    """Write one self-contained page with a strip of frames for each hit.

    The frames are those that the model looked at, at most 12 of them, evenly spaced; they are shown
    whole, before the crop. Each hit is a link to its file and has a player that starts at the best
    frame; both need the files where they were, and a browser that plays their format. A page that
    a server delivers may not open files.

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
    videos = dict.fromkeys(str(hit.path) for hits in results.values() for hit in hits)
    strips = inferencer.read_frames(list(videos), num_workers=num_workers)
    body = _about(inferencer, results) + '\n'.join(
        _section(text, hits, strips, num_videos) for text, hits in results.items()
    )
    title = escape(' · '.join(printable(text) for text in results))
    page = PAGE.format(title=title, style=STYLE, body=body)
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        part.write_text(page, encoding='utf-8')
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


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


def _about(inferencer: RetrievalInferencer, results: Mapping[str, Sequence[SearchHit]]) -> str:
    """Name model, folder and date."""
    folders = {str(_folder(hit)) for hits in results.values() for hit in hits}
    facts = [f'model {inferencer.name}', *(f'folder {one}' for one in sorted(folders))]
    facts.append(time.strftime('%Y-%m-%d %H:%M'))
    return f'<p class="about">{escape(printable("; ".join(facts)))}</p>\n'


def _folder(hit: SearchHit) -> Path:
    """The folder that was searched."""
    path = hit.path.absolute()
    return path.parents[len(Path(hit.name).parts) - 1]


def _section(
    text: str,
    hits: Sequence[SearchHit],
    strips: Mapping[str, list[Frame] | Failure],
    num_videos: int | None,
) -> str:
    among = f' of {num_videos}' if num_videos else ''
    items = '\n'.join(_item(hit, strips[str(hit.path)]) for hit in hits)
    return (
        f'<h1>{escape(printable(text))}</h1>\n'
        f'<p class="about">The best {len(hits)}{among} videos, with their similarity to the '
        f'sentence: 1 at most.</p>\n'
        f'<ol>\n{items}\n</ol>'
    )


def _item(hit: SearchHit, strip: list[Frame] | Failure) -> str:
    if isinstance(strip, Failure):
        frames = (
            f'<p class="none">Its frames cannot be shown: {escape(printable(strip.reason))}</p>'
        )
    else:
        figures = (_figure(frame, hit, index) for index, frame in enumerate(strip, start=1))
        frames = f'<div class="strip">{"".join(figures)}</div>'
    address = escape(hit.path.absolute().as_uri())
    start = '' if hit.best_seconds is None else f'#t={hit.best_seconds:.2f}'
    return (
        f'<li>\n<div class="hit"><span class="rank">{hit.rank}</span>'
        f'<span class="name"><a href="{address}{start}">{escape(printable(hit.name))}</a></span>'
        f'<span class="score">{hit.score:.4f}</span></div>\n'
        f'<p class="path">{escape(printable(str(hit.path.absolute())))}</p>\n{frames}\n'
        f'<details><summary>Play{_from(hit.best_seconds)}</summary>'
        f'<video controls preload="none" src="{address}{start}"></video></details>\n</li>'
    )


def _from(seconds: float | None) -> str:
    return '' if seconds is None else f' from {_clock(seconds)}, the best frame'


def _figure(frame: Frame, hit: SearchHit, number: int) -> str:
    data = base64.b64encode(frame.jpeg).decode('ascii')
    seconds = frame.seconds
    is_best = seconds is not None and seconds == hit.best_seconds
    when = f'frame {number}' if seconds is None else f'frame at {_clock(seconds)}'
    alt = escape(f'{printable(hit.name)}, {when}{", the best" if is_best else ""}')
    caption = '' if seconds is None else f'<figcaption>{_clock(seconds)}</figcaption>'
    best = ' class="best"' if is_best else ''
    image = f'<img alt="{alt}" src="data:image/jpeg;base64,{data}">'
    return f'<figure{best}>{image}{caption}</figure>'


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f'{int(minutes)}:{rest:04.1f}'
