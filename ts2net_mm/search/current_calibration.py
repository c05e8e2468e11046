"""The calibration of an index, brought up to date with the videos that are added."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .bank_scores import SAME, as_corrections, score_videos
from .bound import Score
from .calibration import CALIBRATION, Calibration, Corrections, read_calibration
from .store import VideoStore
from .view import View

__all__ = ['CurrentCalibration', 'update_calibration']


def update_calibration(
    calibration: Calibration,
    view: View,
    score: Score,
    *,
    on_progress: Callable[[int], object] = lambda number: None,
) -> Calibration:
    """Compute the numbers of videos that a calibration lacks, and drop those of others.

    The bank and all other numbers stay. A new video is a hub candidate if it would have been among
    the best of a sentence of the bank when the calibration was made.

    Args:
        calibration: The calibration.
        view: The videos of the index.
        score: The score of the index.
        on_progress: Called with the number of videos that are done.

    Returns:
        The same calibration if nothing has changed.

    Raises:
        DamagedIndexError: If a checksum of what is read is wrong.
    """
    rows = calibration.rows_of(view.videos[view.is_encoded])
    known = rows[rows >= 0]
    if len(known) == len(rows) == len(calibration.videos):
        return calibration
    tables = [calibration.videos[known]]
    new = calibration.new_videos(view)
    for numbers, scores in score_videos(view, score, calibration.bank, new):
        table = as_corrections(view, numbers, scores, calibration.inverse_temperature)
        table['is_hub'] = (scores >= calibration.hub_scores[:, None] - SAME).any(axis=0)
        tables.append(table)
        on_progress(len(numbers))
    return replace(calibration, videos=np.concatenate(tables))


class CurrentCalibration:
    """The calibration of an index; threads may share it.

    Its file is read again when it was replaced, and numbers of new videos are computed once and
    kept in memory.

    Args:
        store: The index.
        score: Its score.
    """

    def __init__(self, store: VideoStore, score: Score) -> None:
        self._store = store
        self._score = score
        self._lock = threading.Lock()
        self._file: tuple[int, ...] | None = None
        self._calibration: Calibration | None = None
        self._view: View | None = None
        self._corrections: Corrections | None = None

    def read(self) -> Calibration:
        """Return the calibration, as it is stored or with the videos that were added since.

        Raises:
            FileNotFoundError: If the index has none.
            ValueError: If it is damaged, or belongs to another model.
        """
        with self._lock:
            return self._read()

    def corrections(self, view: View) -> Corrections:
        """Return the numbers of all videos of a view.

        Raises:
            FileNotFoundError: If the index has no calibration.
            ValueError: If it is damaged, or belongs to another model.
        """
        with self._lock:
            calibration = self._read()
            if self._corrections is None or view is not self._view:
                self._calibration = update_calibration(calibration, view, self._score)
                self._view, self._corrections = view, self._calibration.corrections(view)
            return self._corrections

    def _read(self) -> Calibration:
        try:
            status = (self._store.folder / CALIBRATION).stat()
            file = (status.st_ino, status.st_size, status.st_mtime_ns)
        except FileNotFoundError:
            file = None
        if self._calibration is None or file != self._file:
            self._calibration = self._corrections = None
            self._calibration = read_calibration(self._store.folder, self._store.description)
            self._file = file
        return self._calibration
