"""What a search in a folder of videos finds."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from .timeline import number_of_best

__all__ = ['SearchHit']


@dataclass(frozen=True)
class SearchHit:
    """A video that a search found, with the frames that the model saw of it or of its best moment.

    Args:
        rank: From 1.
        score: Similarity of sentence and video without the logit scale, between -1 and 1.
        name: Path of the video inside the gallery's folder.
        path: Path of the video.
        frame_scores: Cosine of the sentence, or of its closest word, and each frame.
        frame_seconds: Presentation time of each frame; NaN if unknown.
    """

    rank: int
    score: float
    name: str
    path: Path
    frame_scores: tuple[float, ...] = field(repr=False)
    frame_seconds: tuple[float, ...] = field(repr=False)

    @property
    def best_frame(self) -> int:
        """Number of the frame that matches the sentence best."""
        return number_of_best(self.frame_scores)

    @property
    def best_seconds(self) -> float | None:
        """Presentation time of the frame that matches the sentence best; None if it is unknown."""
        seconds = self.frame_seconds[self.best_frame]
        return None if math.isnan(seconds) else seconds
