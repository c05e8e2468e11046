"""Show the hardest pairs of a test as one web page that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from ts2net_mm.apis.html_report import PAGE, STYLE
from ts2net_mm.apis.reading import Frame
from ts2net_mm.evaluation.hard_examples import ConfusedPair, WorstText
from ts2net_mm.evaluation.similarity_file import SimilarityFile
from ts2net_mm.utils.files import write_text
from ts2net_mm.utils.text import printable
from ts2net_mm.utils.workers import Failure

__all__ = ['Page', 'write_page']

CAPTIONS_SHOWN = 3
OWN_STYLE = """
li:first-child .rank { background: var(--line); color: var(--ink); }
li .own .rank { background: var(--mark); color: var(--card); }
.video { margin-top: 12px; padding-top: 10px; border-top: 1px solid var(--line); }
.sentence { font-weight: 550; overflow-wrap: anywhere; margin: 0; }
.captions { margin: 0 0 8px; color: var(--soft); font-size: .875rem; overflow-wrap: anywhere; }"""


@dataclass(frozen=True)
class Page:
    """What the page shows.

    Args:
        title: Its heading.
        summary: Lines below the heading.
        test: Scores and names.
        worst: Texts whose video comes late.
        confused: Videos that take each other's texts.
        strips: Frames of each video by its name, or why there are none.
    """

    title: str
    summary: Sequence[str]
    test: SimilarityFile
    worst: Sequence[WorstText]
    confused: Sequence[ConfusedPair]
    strips: Mapping[str, list[Frame] | Failure]

    def render(self) -> str:
        """Compose the document."""
        about = ''.join(f'<p class="about">{_clean(line)}</p>\n' for line in self.summary)
        worst = '\n'.join(self._worst_item(one) for one in self.worst)
        confused = '\n'.join(self._confused_item(one) for one in self.confused)
        body = (
            f'<h1>{_clean(self.title)}</h1>\n{about}'
            '<h1>Texts whose video comes last</h1>\n<p class="about">The marked video is the right '
            'one, with its rank; below it stand the videos that the model puts first.</p>\n'
            f'{_list(worst, "Every text finds its video first.")}\n'
            '<h1>Videos that take each other\'s texts</h1>\n<p class="about">The excess is how '
            'much higher the texts of each video score with the other one than with their own, the '
            'mean of both sides. Above 0 the model would swap the two.</p>\n'
            f'{_list(confused, "There is no pair.")}'
        )
        return PAGE.format(title=_clean(self.title), style=STYLE + OWN_STYLE, body=body)

    def _worst_item(self, one: WorstText) -> str:
        own = int(self.test.video_of_text[one.text])
        scores = self.test.similarity[one.text]
        videos = [self._video(own, f'{one.rank}', f'{scores[own]:.3f}', is_own=True)]
        for place, video in enumerate(one.best_videos, start=1):
            if video != own:
                videos.append(self._video(video, f'{place}', f'{scores[video]:.3f}'))
        sentence = _clean(self.test.captions[one.text])
        return f'<li>\n<p class="sentence">{sentence}</p>\n' + '\n'.join(videos) + '\n</li>'

    def _confused_item(self, one: ConfusedPair) -> str:
        videos = '\n'.join(self._video(video, '', '') for video in one.videos)
        return f'<li>\n<p class="sentence">excess {one.excess:+.3f}</p>\n{videos}\n</li>'

    def _video(self, video: int, rank: str, score: str, *, is_own: bool = False) -> str:
        name = self.test.video_ids[video]
        texts = np.flatnonzero(self.test.video_of_text == video)
        captions = [self.test.captions[text] for text in texts[:CAPTIONS_SHOWN]]
        if len(texts) > CAPTIONS_SHOWN:
            captions.append(f'and {len(texts) - CAPTIONS_SHOWN} more')
        badge = f'<span class="rank">{rank}</span>' if rank else ''
        return (
            f'<div class="video{" own" if is_own else ""}">\n<div class="hit">{badge}'
            f'<span class="name">{_clean(name)}</span><span class="score">{score}</span></div>\n'
            f'<p class="captions">{" · ".join(map(_clean, captions))}</p>\n'
            f'{_strip(name, self.strips[name])}\n</div>'
        )


def write_page(path: Path, page: Page) -> None:
    """Write the page, whole or not at all.

    Raises:
        OSError: If it cannot be written.
    """
    write_text(path, page.render())


def _clean(text: str) -> str:
    return escape(printable(text))


def _list(items: str, otherwise: str) -> str:
    return f'<ol>\n{items}\n</ol>' if items else f'<p class="none">{otherwise}</p>'


def _strip(name: str, strip: list[Frame] | Failure) -> str:
    if isinstance(strip, Failure):
        return f'<p class="none">Its frames cannot be shown: {_clean(strip.reason)}</p>'
    figures = []
    for number, frame in enumerate(strip, start=1):
        data = base64.b64encode(frame.jpeg).decode('ascii')
        alt = f'{_clean(name)}, frame {number}'
        figures.append(f'<figure><img alt="{alt}" src="data:image/jpeg;base64,{data}"></figure>')
    return f'<div class="strip">{"".join(figures)}</div>'
