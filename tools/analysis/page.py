"""Show the hardest pairs of a test as one self-contained web page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ts2net_mm.apis.pages import render_page
from ts2net_mm.apis.reading import Frame
from ts2net_mm.evaluation.hard_examples import ConfusedPair, WorstText
from ts2net_mm.evaluation.similarity_file import SimilarityFile
from ts2net_mm.utils.files import write_text
from ts2net_mm.utils.workers import Failure

__all__ = ['write_page']

CAPTIONS_SHOWN = 3


def write_page(
    path: Path,
    title: str,
    summary: Sequence[str],
    test: SimilarityFile,
    worst: Sequence[WorstText],
    confused: Sequence[ConfusedPair],
    strips: Mapping[str, list[Frame] | Failure],
) -> None:
    """Write the page atomically.

    Args:
        path: The page.
        title: Its heading.
        summary: Lines below the heading.
        test: Scores and names.
        worst: Texts whose video comes late.
        confused: Videos that take each other's texts.
        strips: Frames of each video by its name, or why there are none.

    Raises:
        OSError: If the page cannot be written.
    """

    def show(video: int, rank: int | str = '', score: str = '', is_own: bool = False) -> dict:
        name = test.video_ids[video]
        texts = np.flatnonzero(test.video_of_text == video)
        captions = [test.captions[text] for text in texts[:CAPTIONS_SHOWN]]
        if len(texts) > CAPTIONS_SHOWN:
            captions.append(f'and {len(texts) - CAPTIONS_SHOWN} more')
        return dict(
            name=name,
            rank=rank,
            score=score,
            is_own=is_own,
            captions=captions,
            strip=strips[name],
        )

    worst_items: list[tuple[str, list[dict[str, Any]]]] = []
    for item in worst:
        own, scores = int(test.video_of_text[item.text]), test.similarity[item.text]
        videos = [show(own, item.rank, f'{scores[own]:.3f}', is_own=True)]
        for place, video in enumerate(item.best_videos, start=1):
            if video != own:
                videos.append(show(video, place, f'{scores[video]:.3f}'))
        worst_items.append((test.captions[item.text], videos))
    page = render_page(
        'hard_examples.html',
        title=title,
        summary=summary,
        worst=worst_items,
        confused=[(f'excess {pair.excess:+.3f}', [*map(show, pair.videos)]) for pair in confused],
    )
    write_text(path, page)
