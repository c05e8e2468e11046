"""Queries made of others: what resembles a video of the index, a sentence minus another."""

from __future__ import annotations

import os

import numpy as np

from .index import SearchIndex

__all__ = ['stored_example', 'subtract']


def subtract(query: np.ndarray, other: np.ndarray, weight: float = 0.5) -> np.ndarray:
    """Return a query that fits what fits the first and does not fit the other.

    Both are scaled to length 1 before.

    Args:
        query: What is wanted.
        other: What is not.
        weight: How much the other counts, against 1.

    Shape:
        - query: (D,), other: (D,) -> (D,)
    """
    return _unit(query) - weight * _unit(other)


def stored_example(index: SearchIndex, path: str) -> np.ndarray | None:
    """Return a query for what resembles a video of the index: (D,); None if it is not there.

    It is the mean of all its frames, each scaled to length 1.
    """
    video = index.read_video(os.path.abspath(path))
    if video is None:
        return None
    return np.average(video.means, axis=0, weights=video.table['num_frames'])


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
