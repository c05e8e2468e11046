"""Draw a `TokenRecord` as strips: a picture for each subject, with a column for each frame."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .cell import CELL, GAP, INK, SOFT, Cell, add_axes, write
from .recording import TokenRecord
from .subjects import SUBJECTS, Subject

__all__ = ['STRIP_NAMES', 'Strip', 'draw_strips', 'make_figure', 'stack_strips']

STRIP_NAMES = tuple(SUBJECTS)
COLUMNS = 12  # frames beside each other
# pixels, before the sharpness
MIN_WIDTH = GAP + 5 * (CELL + GAP)  # room for the text above the pictures of a few frames
TITLE, LINE = 22, 16
LETTER = 6.0  # mean width in a note
DPI = 100
SHARPNESS = 1.5  # of the pictures, for screens with many pixels


@dataclass(frozen=True)
class Strip:
    """A picture of all frames.

    Args:
        name: Short name, such as ``'shift'``.
        title: Heading, which is also in the picture.
        note: What is to be seen, or why there is nothing.
        image: RGB.
    """

    name: str
    title: str
    note: str
    image: np.ndarray

    @property
    def width(self) -> int:
        """Width at which a page shows the picture, pixels; it has more, for sharp screens."""
        return round(self.image.shape[1] / SHARPNESS)


def draw_strips(record: TokenRecord, names: Sequence[str] | None = None) -> list[Strip]:
    """Draw a strip for each subject; without what it needs, a strip says why it is empty.

    Args:
        record: What is drawn.
        names: Of `STRIP_NAMES`; all of them by default.
    """
    strips = []
    for name in names or STRIP_NAMES:
        figure = make_figure(record, name)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        image = np.asarray(canvas.buffer_rgba())[..., :3].copy()
        strips.append(Strip(name, SUBJECTS[name].title, _note(record, SUBJECTS[name]), image))
    return strips


def stack_strips(strips: Sequence[Strip]) -> np.ndarray:
    """Join the strips of a record to a picture, below each other: (H, W, 3) uint8."""
    return np.concatenate([strip.image for strip in strips])


def make_figure(record: TokenRecord, name: str) -> Figure:
    """Make the figure of a strip.

    Its axes are labelled with the part and the number of the frame, such as ``'picture 0'``.
    """
    subject = SUBJECTS[name]
    count = len(record.frames)
    width = max(MIN_WIDTH, GAP + min(count, COLUMNS) * (CELL + GAP))
    lines = textwrap.wrap(_note(record, subject), int(width / LETTER))
    start = 2 * GAP + TITLE + LINE * len(lines)
    has_pictures = subject.is_in(record)
    height = subject.height(record) if has_pictures else 0
    rows = math.ceil(count / COLUMNS) if has_pictures else 0
    # a hundredth of a pixel more, because matplotlib rounds down
    size = (width + 0.01) / DPI, (start + rows * (height + GAP) + 0.01) / DPI
    figure = Figure(figsize=size, dpi=DPI * SHARPNESS, facecolor='white')
    head = add_axes(figure, GAP, GAP, width - 2 * GAP, start - GAP, label='head')
    write(head, 0, subject.title, size=15, colour=INK, weight='bold')
    for number, line in enumerate(lines):
        write(head, TITLE + number * LINE, line, size=11.5, colour=SOFT)
    for frame in range(count if has_pictures else 0):
        row, column = divmod(frame, COLUMNS)
        left, top = GAP + column * (CELL + GAP), start + row * (height + GAP)
        subject.paint(Cell(figure, left, top, frame), record, frame)
    return figure


def _note(record: TokenRecord, subject: Subject) -> str:
    if subject.is_in(record):
        return subject.describe(record)
    return f'Not in this model: {record.absent[subject.needs]}.'
