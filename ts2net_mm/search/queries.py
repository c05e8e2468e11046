"""Queries made of others: what resembles a video of the index, a sentence minus another."""

from __future__ import annotations

import os

import numpy as np

from .view import View

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


def stored_example(view: View, path: str) -> np.ndarray | None:
    """Return a query for what resembles a video of the index: (D,); None if it is not there.

    It is the mean of all its frames, each scaled to length 1.
    """
    video = view.find(os.path.abspath(path))
    if video is None or not video.num_windows:
        return None
    windows = list(view.windows_of(video.number))
    means = np.stack([view.mean(window) for window in windows])
    return np.average(means, axis=0, weights=view.summary.num_frames[windows])


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
