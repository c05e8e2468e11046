"""Pictures of frames, faded, grey or mixed by patch, and marks on their patches."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from .cell import CELL, INK

__all__ = ['fade', 'grey', 'mark_moved', 'mix_frames', 'outline', 'write_weights']

# pixels
POINTED = 14  # of a patch, above which an arrow is drawn into it
ARROW = 18  # length of an arrow at most


def fade(picture: np.ndarray, share: float) -> np.ndarray:
    """Mix a picture with white."""
    return (picture * (1 - share) + 255 * share).astype(np.uint8)


def grey(picture: np.ndarray) -> np.ndarray:
    """Turn a picture grey: (H, W, 3) -> (H, W, 3)."""
    return np.repeat(picture.mean(axis=-1, keepdims=True), 3, axis=-1)


def mix_frames(frames: np.ndarray, origins: np.ndarray) -> np.ndarray:
    """Mix the pixels of frames by patch: (T, H, W, 3), (rows, columns, T) -> (H, W, 3)."""
    height, width = frames.shape[1:3]
    rows, columns = origins.shape[:2]
    by_pixel = origins.repeat(height // rows, axis=0).repeat(width // columns, axis=1)
    return np.einsum('hwt,thwc->hwc', by_pixel, frames).round().astype(np.uint8)


def outline(axes: Axes, row: int, column: int, colour: str) -> None:
    """Draw the border of a patch inside it."""
    pixels = CELL / np.ptp(axes.get_xlim())  # of a patch
    width = min(1.6, pixels / 10)  # points
    inset = 0.9 * width / pixels
    box = Rectangle(
        (column + inset, row + inset),
        1 - 2 * inset,
        1 - 2 * inset,
        fill=False,
        edgecolor=colour,
        linewidth=width,
        path_effects=[withStroke(linewidth=1.6 * width, foreground='white')],
    )
    axes.add_patch(box)


def write_weights(axes: Axes, kept: np.ndarray) -> None:
    """Write the weight of each patch that is kept visibly into it."""
    for (row, column), weight in np.ndenumerate(kept):
        if weight >= 0.01:
            axes.text(
                column + 0.5,
                row + 0.5,
                f'{weight:.2f}',
                size=7.5,
                color=INK,
                ha='center',
                va='center',
                path_effects=[withStroke(linewidth=2, foreground='white')],
            )


def mark_moved(
    axes: Axes, shares: np.ndarray, heights: np.ndarray, colour: str, *, step: int
) -> None:
    """Draw arrows into the patches that have moved, and outline those of which most has.

    Args:
        axes: A picture.
        shares: How much of each patch has moved.
        heights: Where in each patch its arrow is.
        colour: Of the marks.
        step: Direction of the arrows, 1 or -1.

    Shape:
        - shares, heights: (rows, columns)
    """
    for row, column in np.argwhere(shares > 0.5):
        outline(axes, row, column, colour)
    places = np.argwhere(shares > 0)
    pixels = CELL / shares.shape[1]
    if not len(places) or pixels < POINTED:
        return
    length = min(0.66, ARROW / pixels)
    axes.quiver(
        places[:, 1] + 0.5,
        places[:, 0] + heights[shares > 0],
        np.full(len(places), length * step),
        np.zeros(len(places)),
        angles='xy',
        scale_units='xy',
        scale=1,
        pivot='mid',
        width=0.16 * length,
        units='xy',
        headwidth=4,
        headlength=3.5,
        headaxislength=3.5,
        color=colour,
        edgecolor='white',
        linewidth=0.5,
    )
