"""What a search asks for, and the vectors that the model makes of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from datetime import date, datetime, time
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field, field_validator

from ...apis import RetrievalInferencer
from ...utils.text import has_words
from ..filters import VideoFilter
from ..view import StoredVideo, View

__all__ = ['QueryEncoder', 'SearchForm', 'window_vector', 'without_empty']

MAX_LETTERS = 1000  # of a sentence; the model reads fewer
MAX_HITS = 100
FIRST_DAY, LAST_DAY = date(1971, 1, 1), date(2200, 1, 1)  # of which times are known everywhere


class SearchForm(BaseModel):
    """The fields of a search, as they stand in its address.

    Args:
        q: A sentence.
        like: Without a sentence, key of a video that the hits are to resemble.
        at: Where in that video, seconds.
        upload: Without a sentence, token of an uploaded file that the hits are to resemble.
        topk: Number of hits.
        folder: Only videos in it; its path, or its name in the folder of all videos.
        shortest: Only videos of at least so many seconds.
        longest: Only videos of at most so many seconds.
        since: Only files that were changed on this day or later.
        until: Only files that were changed on this day or earlier.
    """

    q: str = Field(default='', max_length=MAX_LETTERS, title='sentence')
    like: str = Field(default='', max_length=32)
    at: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    upload: str = Field(default='', max_length=64)
    topk: int = Field(default=10, ge=1, le=MAX_HITS, title='number of hits')
    folder: str = Field(default='', max_length=4096)
    shortest: float | None = Field(default=None, ge=0, allow_inf_nan=False, title='shortest video')
    longest: float | None = Field(default=None, ge=0, allow_inf_nan=False, title='longest video')
    since: date | None = Field(default=None, ge=FIRST_DAY, le=LAST_DAY)
    until: date | None = Field(default=None, ge=FIRST_DAY, le=LAST_DAY)

    @field_validator('q')
    @classmethod
    def _has_words(cls, sentence: str) -> str:
        sentence = sentence.strip()
        if sentence and not has_words(sentence):
            raise ValueError(f'the sentence {sentence!r} has no word')
        return sentence

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for."""
        return not (self.q or self.like or self.upload)

    @property
    def has_filters(self) -> bool:
        """Whether only some videos may be found."""
        return bool(self.folder or self.since or self.until) or (
            self.shortest is not None or self.longest is not None
        )

    def filters(self, base: str) -> VideoFilter:
        """Return the conditions on videos; a folder is looked for in the folder of all videos."""
        return VideoFilter(
            folder=os.path.normpath(os.path.join(base, self.folder)) if self.folder else None,
            min_duration=self.shortest,
            max_duration=self.longest,
            changed_after=datetime.combine(self.since, time.min) if self.since else None,
            changed_before=datetime.combine(self.until, time.max) if self.until else None,
        )


def without_empty(values: Mapping[str, str]) -> dict[str, str]:
    """Drop the fields that a browser sends empty."""
    return {key: value for key, value in values.items() if value.strip()}


class QueryEncoder:
    """Encodes one query at a time, because all requests share the model.

    Args:
        inferencer: The model.
    """

    def __init__(self, inferencer: RetrievalInferencer) -> None:
        self._inferencer = inferencer
        self._lock = threading.Lock()
        self.encode_text = lru_cache(maxsize=1000)(self._encode_text)

    def _encode_text(self, sentence: str) -> np.ndarray:
        with self._lock:
            return self._inferencer.encode_texts([sentence])[0].numpy()

    def encode_file(self, path: Path) -> np.ndarray:
        """Encode a video: (D,).

        Raises:
            ValueError: If it cannot be read; the message is the reason.
        """
        with self._lock:
            (batch,) = self._inferencer.encode_videos([path], num_workers=1)
        if batch.skipped:
            raise ValueError(batch.skipped[str(path)])
        return _mean_direction(batch.frame_features[0][batch.frame_mask[0]].numpy())


def window_vector(view: View, video: StoredVideo, seconds: float) -> np.ndarray:
    """Return the mean of the frames of a video's window that begins closest to a time: (D,)."""
    windows = np.array(view.windows_of(video.number))
    window = windows[np.argmin(np.abs(view.starts[windows] - seconds))]
    frames = view.read_frames([window])['frames'][0]
    return _mean_direction(frames[: view.summary.num_frames[window]])


def _mean_direction(frames: np.ndarray) -> np.ndarray:
    frames = frames.astype(np.float64)
    return (frames / np.maximum(np.linalg.norm(frames, axis=1, keepdims=True), 1e-12)).mean(axis=0)
