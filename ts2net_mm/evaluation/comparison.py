"""Scores of all texts and videos, computed tile by tile from their features."""

import numpy as np
import torch
from torch import Tensor, nn

from .tiles import Rows

__all__ = ['FeatureScores']


class FeatureScores:
    """Compare some texts with some videos when a tile is read.

    Args:
        similarity: Module that compares sentences with videos, each pair by itself.
        texts: Features of all sentences, on the device of the module.
        frames: Frame features of all videos.
        frame_mask: True for the frames of a video.
        logit_scale: Factor on the result of the module.
        matrix: Where to keep all tiles, None to keep none.

    Shape:
        - texts: (N, D) or (N, L, D), frames: (M, T, D), frame_mask: (M, T) bool, matrix: (N, M)
    """

    def __init__(
        self,
        similarity: nn.Module,
        texts: Tensor,
        frames: Tensor,
        frame_mask: Tensor,
        *,
        logit_scale: float,
        matrix: np.ndarray | None = None,
    ) -> None:
        self.similarity = similarity
        self.texts, self.frames, self.frame_mask = texts, frames, frame_mask
        self.logit_scale = logit_scale
        self.matrix = matrix

    def __call__(self, rows: Rows, columns: slice) -> Tensor:
        """Compute a tile.

        Raises:
            ValueError: If the module gives NaN.
        """
        scores = self.compare(self.texts[rows], columns)
        if torch.isnan(scores).any():
            row, column = torch.isnan(scores).nonzero()[0].tolist()
            text = rows.start + row if isinstance(rows, slice) else int(rows[row])
            raise ValueError(
                f'{type(self.similarity).__name__} gives NaN for text {text} and '
                f'video {columns.start + column}'
            )
        if self.matrix is not None:
            self.matrix[rows, columns] = scores.cpu().numpy()
        return scores

    @torch.no_grad()
    def compare(self, texts: Tensor, columns: slice = slice(None)) -> Tensor:
        """Compute the logits of texts, those of the test set or others: (n, ...) -> (n, m)."""
        scores = self.similarity(
            texts.to(self.frames.device), self.frames[columns], self.frame_mask[columns]
        )
        return scores.float().mul_(self.logit_scale)
