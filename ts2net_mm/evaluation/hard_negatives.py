"""Accuracy against the hard negatives that an annotation names."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .predictions import VideoPrediction

__all__ = ['HardNegatives']


class HardNegatives:
    """Compare the right video of each text with the hard negative of that video, tile by tile.

    Args:
        field: Name of the annotation field, for messages.
        videos: All videos of the test.
        owners: The video of each text, in ascending order.
        skipped: Names of videos that were skipped; they are no hard negatives.

    Raises:
        ValueError: If no video has a hard negative, or it is no other video of the test.
    """

    def __init__(
        self,
        field: str,
        videos: Sequence[VideoPrediction],
        owners: np.ndarray,
        *,
        skipped: set[str],
    ) -> None:
        rivals = _find_rivals(field, videos, skipped)[owners]
        if not (rivals >= 0).any():
            raise ValueError(
                f'no test video has the field {field!r}: '
                'is it in the annotation file and in PackActionInputs(meta_keys=...)?'
            )
        self._columns = torch.from_numpy(np.stack([owners, rivals]))
        self._scores = self._columns.new_full(self._columns.shape, torch.nan, dtype=torch.float64)

    def add(self, texts: slice, videos: slice, scores: Tensor) -> None:
        """Take the scores of right videos and hard negatives from a tile."""
        columns = self._columns[:, texts] - videos.start
        which, rows = ((columns >= 0) & (columns < scores.shape[1])).nonzero(as_tuple=True)
        self._scores[which, rows + texts.start] = scores[rows, columns[which, rows]].double().cpu()

    @property
    def accuracy(self) -> float:
        """Percentage of the texts with a hard negative whose right video scores higher."""
        right, wrong = self._scores[:, self._columns[1] >= 0]
        return 100.0 * float((right > wrong).double().mean())


def _find_rivals(field: str, videos: Sequence[VideoPrediction], skipped: set[str]) -> np.ndarray:
    """Find the column of the hard negative of each video, -1 for none."""
    column = {video.video_id: index for index, video in enumerate(videos)}
    rivals = np.full(len(videos), -1)
    for index, video in enumerate(videos):
        rival = video.hard_negative
        if rival is None or rival in skipped:
            continue
        if column.get(rival, index) == index:
            raise ValueError(
                f'{field}={rival!r} of video {video.video_id!r} '
                f'names no other of the {len(videos)} test videos'
            )
        rivals[index] = column[rival]
    return rivals
