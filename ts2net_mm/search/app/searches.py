"""Run a search: the query, the index and the cards of its hits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from fastapi import HTTPException

from ..index_view import IndexView
from ..queries import subtract
from ..records import DamagedIndexError
from ..results import SearchResult
from ..view import StoredVideo
from .cards import Card, make_cards
from .queries import QueryEncoder, SearchForm
from .uploads import Uploads
from .video_library import Library

__all__ = ['Found', 'Searches']


@dataclass(frozen=True)
class Found:
    """What a search found.

    Args:
        title: What was searched for.
        result: The hits.
        cards: The hits, for the page.
    """

    title: str
    result: SearchResult
    cards: list[Card]


@contextmanager
def _reading() -> Iterator[None]:
    """Turn errors of the index into answers."""
    try:
        yield
    except (DamagedIndexError, OSError) as error:
        raise HTTPException(503, f'The index cannot be read: {error}') from error


class Searches:
    """Searches of an index.

    Args:
        library: The index.
        encoder: Encodes sentences.
        uploads: The uploaded queries.
    """

    def __init__(self, library: Library, encoder: QueryEncoder, uploads: Uploads) -> None:
        self._library = library
        self._encoder = encoder
        self._uploads = uploads

    def view(self) -> IndexView:
        """Return what the index holds now.

        Raises:
            HTTPException: If the index was deleted, or replaced by that of another model.
        """
        try:
            return self._library.view()
        except (OSError, ValueError) as error:
            raise HTTPException(503, f'The index cannot be used: {error}') from error

    def count(self, view: IndexView) -> tuple[int, int]:
        """Count the videos and the windows that may be found.

        Raises:
            HTTPException: If the index cannot be read.
        """
        with _reading():
            return view.count()

    def video(self, view: IndexView, key: str) -> StoredVideo:
        """Return a video by its key.

        Raises:
            HTTPException: If the index does not have it.
        """
        with _reading():
            video = self._library.find(view, key)
        if video is None:
            raise HTTPException(404, 'The index does not have this video, or no longer.')
        return video

    def file(self, view: IndexView, key: str) -> StoredVideo:
        """Return a video whose file may be shown.

        Raises:
            HTTPException: If the index does not have it, or its file is not to be shown.
        """
        video = self.video(view, key)
        with _reading():
            reason = self._library.why_withheld(view, video)
        if reason:
            raise HTTPException(404, reason)
        return video

    def run(self, form: SearchForm) -> Found:
        """Search.

        Raises:
            HTTPException: If the query is no longer known, or the index cannot be used.
        """
        view = self.view()
        with _reading():
            title, vector = self._query(form, view)
            (result,) = view.search(
                vector[None],
                topk=form.topk,
                filters=form.filters(self._library.base(view)) if form.has_filters else None,
            )
            return Found(title, result, make_cards(vector, result, view, self._library))

    def _query(self, form: SearchForm, view: IndexView) -> tuple[str, np.ndarray]:
        title, vector = self._wanted(form, view)
        if not form.minus:
            return title, vector
        return f'{title}, not {form.minus}', subtract(vector, self._encoder.encode_text(form.minus))

    def _wanted(self, form: SearchForm, view: IndexView) -> tuple[str, np.ndarray]:
        if form.q:
            return form.q, self._encoder.encode_text(form.q)
        if form.upload:
            uploaded = self._uploads.get(form.upload)
            if uploaded is None:
                raise HTTPException(404, 'The uploaded file is no longer known: upload it again.')
            return f'like {uploaded.name}', uploaded.vector
        video = self.video(view, form.like)
        name = self._library.short_name(view, video)
        return f'like {name}', view.window_mean(video, form.at)
