"""The place of a frame in a strip, in pixels from the top left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = [
    'CELL',
    'GAP',
    'INK',
    'LINE',
    'RULE',
    'SOFT',
    'Cell',
    'add_axes',
    'height_of',
    'show',
    'write',
]

# pixels, before the sharpness
CELL = 132  # width of a picture
GAP = 8
LINE = 16  # below a picture
INK, SOFT, RULE = '#1a1d23', '#626a78', '#dfe2e8'
POINTS = 0.72  # of a pixel of 1/100 inch


def add_axes(
    figure: Figure, left: float, top: float, width: float, height: float, *, label: str
) -> Axes:
    """Add axes in pixels of 1/100 inch, without ticks."""
    full_width, full_height = 100 * figure.get_size_inches()
    bottom = full_height - top - height
    place = (left / full_width, bottom / full_height, width / full_width, height / full_height)
    axes = figure.add_axes(place, label=label)
    axes.set_axis_off()
    return axes


def write(
    axes: Axes, top: float, text: str, *, size: float, colour: str, across: float = 0, **style: Any
) -> None:
    """Write a line of text at pixels from the top of axes."""
    axes.annotate(
        text,
        (across, 1),
        xycoords='axes fraction',
        xytext=(0, -top * POINTS),
        textcoords='offset points',
        size=size * POINTS,
        color=colour,
        verticalalignment='top',
        parse_math=False,  # a caption may have a dollar sign
        **style,
    )


def show(axes: Axes, picture: np.ndarray, grid: tuple[int, int], **style: Any) -> None:
    """Show a picture or a map in axes whose coordinates are columns and rows of patches."""
    rows, columns = grid
    axes.imshow(picture, extent=(0, columns, rows, 0), aspect='auto', **style)


def height_of(picture: np.ndarray) -> float:
    """Height of a picture in a strip: (H, W, ...) -> pixels."""
    return CELL * picture.shape[0] / picture.shape[1]


@dataclass(frozen=True)
class Cell:
    """The place of a frame.

    Args:
        figure: The figure.
        left: Pixels from its left edge.
        top: Pixels from its top edge.
        frame: Number of the frame, which labels the axes.
    """

    figure: Figure
    left: float
    top: float
    frame: int

    def axes(
        self, part: str, *, top: float, height: float, left: float = 0, width: float = CELL
    ) -> Axes:
        """Add axes at pixels from the top left of the cell."""
        label = f'{part} {self.frame}'
        return add_axes(self.figure, self.left + left, self.top + top, width, height, label=label)

    def picture(self, picture: np.ndarray, grid: tuple[int, int]) -> Axes:
        """Show a picture; its coordinates are columns and rows of patches."""
        axes = self.axes('picture', top=0, height=height_of(picture))
        show(axes, picture, grid)
        return axes

    def line(self, text: str, *, top: float, colour: str = SOFT) -> None:
        """Write a centred line."""
        axes = self.axes('line', top=top, height=LINE)
        write(axes, 2, text, size=11, colour=colour, across=0.5, horizontalalignment='center')
