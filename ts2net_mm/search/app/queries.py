"""What a search asks for, and the vectors that the model makes of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydantic import BaseModel, Field, field_validator
from torch import Tensor

from ...apis import RetrievalInferencer
from ...utils.text import has_words
from ..examples import encode_example
from ..filters import VideoFilter

__all__ = ['QueryEncoder', 'SearchForm', 'without_empty']

MAX_LETTERS = 1000  # of a sentence; the model reads fewer
MAX_HITS = 100
NUM_TEXTS = 1000  # whose features are kept
FIRST_DAY, LAST_DAY = date(1971, 1, 1), date(2200, 1, 1)  # of which times are known everywhere


class SearchForm(BaseModel):
    """The fields of a search, as they stand in its address.

    Args:
        q: A sentence.
        like: Without a sentence, key of a video that the hits are to resemble.
        at: Where in that video, seconds.
        upload: Without a sentence, token of an uploaded file that the hits are to resemble.
        minus: A sentence that the hits are not to fit.
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
    minus: str = Field(default='', max_length=MAX_LETTERS, title='sentence to avoid')
    topk: int = Field(default=10, ge=1, le=MAX_HITS, title='number of hits')
    folder: str = Field(default='', max_length=4096)
    shortest: float | None = Field(default=None, ge=0, allow_inf_nan=False, title='shortest video')
    longest: float | None = Field(default=None, ge=0, allow_inf_nan=False, title='longest video')
    since: date | None = Field(default=None, ge=FIRST_DAY, le=LAST_DAY)
    until: date | None = Field(default=None, ge=FIRST_DAY, le=LAST_DAY)

    @field_validator('q', 'minus')
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
    """Encodes queries; the model, which all requests share, encodes one at a time.

    Args:
        inferencer: The model.
    """

    def __init__(self, inferencer: RetrievalInferencer) -> None:
        self._inferencer = inferencer
        self._lock = threading.Lock()
        self.encode_text = lru_cache(maxsize=NUM_TEXTS)(self._encode_text)

    def _encode_text(self, sentence: str) -> np.ndarray:
        with self._lock:
            return self._inferencer.encode_texts([sentence])[0].numpy()

    def encode_file(self, path: Path) -> np.ndarray:
        """Encode a video or a picture: (D,).

        Raises:
            ValueError: If it cannot be read; the message is the reason.
        """
        try:
            return encode_example(_Shared(self._inferencer, self._lock), path)
        except cv2.error as error:
            raise ValueError(
                f'it is a picture that is too large, or damaged: {error.err}'
            ) from error
        except ValueError as error:
            raise ValueError(str(error).removeprefix(f'{path} cannot be read: ')) from error


class _Shared:
    """A model that is used by one thread at a time, while others read their files."""

    def __init__(self, inferencer: RetrievalInferencer, lock: threading.Lock) -> None:
        self._inferencer = inferencer
        self._lock = lock
        self.name, self.fingerprint = inferencer.name, inferencer.fingerprint
        self.video_pipeline = inferencer.video_pipeline
        self.index_score = inferencer.index_score

    def encode_items(self, items: Sequence[dict[str, Any]]) -> tuple[Tensor, Tensor]:
        with self._lock:
            return self._inferencer.encode_items(items)
