"""What the strips show: frames and their weights, chosen patches, scores, slots, token shift."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from matplotlib import colormaps

from .cell import CELL, INK, LINE, RULE, SOFT, Cell, height_of, show, write
from .marks import fade, grey, mark_moved, mix_frames, outline, write_weights
from .recording import TokenRecord

__all__ = ['SUBJECTS', 'Subject']

BAR = 54  # pixels of the highest bar
CHOSEN, EARLIER, LATER = '#e0006c', '#0a62d0', '#d95f02'
SCORE_COLOURS, WEIGHT_COLOURS = colormaps['viridis'], colormaps['RdPu']
FADED = 0.85  # share of white in what is not kept, and in padding
NUMBERED = 30  # pixels of a patch above which its weight is written into it


class Subject(ABC):
    """What a strip shows.

    Attributes:
        title: Heading of the strip.
        needs: Field of the record that it shows; where it is None there is nothing to show.
    """

    title: ClassVar[str]
    needs: ClassVar[str]

    def is_in(self, record: TokenRecord) -> bool:
        """Tell whether the model has it."""
        return getattr(record, self.needs) is not None

    @abstractmethod
    def describe(self, record: TokenRecord) -> str:
        """Say in a sentence or two what is to be seen."""

    def height(self, record: TokenRecord) -> float:
        """Pixels of a cell."""
        return height_of(record.frames[0])

    def paint(self, cell: Cell, record: TokenRecord, frame: int) -> None:
        """Draw a frame; padding is only faded."""
        if record.frame_mask[frame]:
            self.paint_valid(cell, record, frame)
        else:
            cell.picture(fade(record.frames[frame], FADED), record.grid)

    @abstractmethod
    def paint_valid(self, cell: Cell, record: TokenRecord, frame: int) -> None:
        """Draw a frame that is no padding."""


class Frames(Subject):
    """The frames that the model sees, and the weight of each in the similarity."""

    title = 'Frames, and their weights for the sentence'
    needs = 'frames'

    def describe(self, record: TokenRecord) -> str:
        """State the sentence, the similarity and the frame weights."""
        text = f'“{record.caption}”: similarity {record.similarity:.3f}. '
        if record.frame_weights is None:
            return text + f'No frame weights: {record.absent["frame_weights"]}.'
        return text + 'Bars: the weight of each frame; dashed: equal weights.'

    def height(self, record: TokenRecord) -> float:
        """Pixels of a cell: a picture, two lines, and bars if there are weights."""
        bars = 0 if record.frame_weights is None else BAR + LINE
        return super().height(record) + 2 * LINE + bars

    def paint(self, cell: Cell, record: TokenRecord, frame: int) -> None:
        """Draw a frame with its time."""
        super().paint(cell, record, frame)
        seconds = record.seconds[frame]
        time = f'frame {frame + 1}' if math.isnan(seconds) else f'{seconds:.2f} s'
        text = time if record.frame_mask[frame] else 'padding'
        cell.line(text, top=height_of(record.frames[0]))

    def paint_valid(self, cell: Cell, record: TokenRecord, frame: int) -> None:
        """Draw the picture, its cosine and its bar."""
        cell.picture(record.frames[frame], record.grid)
        top = height_of(record.frames[0]) + LINE
        cell.line(f'cosine {record.cosines[frame]:.3f}', top=top)
        if record.frame_weights is not None:
            _draw_bar(cell, top + LINE, record, frame)


class Chosen(Subject):
    """The patches that the selection keeps."""

    title = 'Chosen patches'
    needs = 'selection'

    def describe(self, record: TokenRecord) -> str:
        """Name the number of slots."""
        assert record.selection is not None
        slots = record.selection.shape[1]
        return (
            f'Each patch is as clear as it is kept: its weight, summed over the {_slots(slots)}. '
            'Outlined: half of it or more.'
        )

    def paint_valid(self, cell: Cell, record: TokenRecord, frame: int) -> None:
        """Fade what is not kept, and outline what is."""
        assert record.kept is not None
        kept = record.kept[frame].reshape(record.grid)
        axes = cell.picture(record.frames[frame], record.grid)
        veil = np.ones((*record.grid, 4))
        veil[..., 3] = FADED * (1 - kept.clip(0, 1))
        show(axes, veil, record.grid, interpolation='nearest')
        for row, column in np.argwhere(kept >= 0.5):
            outline(axes, row, column, CHOSEN)
        if CELL / record.grid[1] > NUMBERED:
            write_weights(axes, kept)


class Scores(Subject):
    """The scores of the patches, over the picture."""

    title = 'Scores'
    needs = 'scores'

    def describe(self, record: TokenRecord) -> str:
        """State what the darkest and the brightest colour stand for."""
        low, high = _range(record)
        digits = min(7, 2 - math.floor(math.log10(high - low))) if high > low else 3
        return (
            'By which the patches are selected, over the picture: from '
            f'{low:.{digits}f} (dark blue) to {high:.{digits}f} (yellow).'
        )

    def paint_valid(self, cell: Cell, record: TokenRecord, frame: int) -> None:
        """Lay the colours of the scores over the grey picture."""
        assert record.scores is not None
        axes = cell.picture(fade(grey(record.frames[frame]), 0.3), record.grid)
        low, high = _range(record)
        scores = record.scores[frame].reshape(record.grid)
        style = dict(cmap=SCORE_COLOURS, vmin=low, vmax=high, alpha=0.65)
        show(axes, scores, record.grid, interpolation='nearest', **style)


class Slots(Subject):
    """The weight of each patch in each of the kept tokens."""

    title = 'Weights of the patches in each slot'
    needs = 'selection'
    across = 3  # maps beside each other

    def describe(self, record: TokenRecord) -> str:
        """Name the number of slots."""
        assert record.selection is not None
        return (
            f'The {_slots(record.selection.shape[1])} that a frame keeps besides [CLS], in the '
            'order of the patches: white is 0, purple is 1; below, the largest weight.'
        )

    def height(self, record: TokenRecord) -> float:
        """Pixels of the rows of maps."""
        assert record.selection is not None
        width, height = self._size(record)
        return math.ceil(record.selection.shape[1] / self._columns(record)) * (height + LINE)

    def paint(self, cell: Cell, record: TokenRecord, frame: int) -> None:
        """Draw a frame; nothing for padding."""
        if record.frame_mask[frame]:
            self.paint_valid(cell, record, frame)

    def paint_valid(self, cell: Cell, record: TokenRecord, frame: int) -> None:
        """Draw a map for each slot."""
        assert record.selection is not None
        width, height = self._size(record)
        for slot, weights in enumerate(record.selection[frame]):
            row, column = divmod(slot, self._columns(record))
            place = dict(left=column * (width + 4), width=width)
            axes = cell.axes(f'slot {slot}', top=row * (height + LINE), height=height, **place)
            style = dict(cmap=WEIGHT_COLOURS, vmin=0, vmax=1, interpolation='nearest')
            show(axes, weights.reshape(record.grid), record.grid, **style)
            below = cell.axes('weight', top=row * (height + LINE) + height, height=LINE, **place)
            text = f'{weights.max():.2f}'
            write(below, 1, text, size=10.5, colour=SOFT, across=0.5, horizontalalignment='center')

    def _columns(self, record: TokenRecord) -> int:
        assert record.selection is not None
        return min(self.across, record.selection.shape[1])

    def _size(self, record: TokenRecord) -> tuple[float, float]:
        columns = self._columns(record)
        width = (CELL - 4 * (columns - 1)) / columns
        return width, width * height_of(record.frames[0]) / CELL


class Shift(Subject):
    """The tokens that enter the attention of another frame."""

    title = 'Token shift'
    needs = 'origins'

    def describe(self, record: TokenRecord) -> str:
        """Name the blocks and the directions."""
        assert record.origins is not None
        blocks = ', '.join(map(str, record.shift_layers))
        text = (
            f'What each frame attends to in the blocks {blocks}, each token drawn as its patch: '
            'blue patches with → come from an earlier frame, orange ones with ← from a later one.'
        )
        shares = 1 - np.diagonal(record.origins, axis1=0, axis2=2)
        moved = shares[shares > 0]
        if len(moved) and moved.max() < 1:
            text += f' Of each, {100 * moved.mean():.1f} % of the channels move.'
        return text

    def height(self, record: TokenRecord) -> float:
        """Pixels of a cell: a picture, and a line if [CLS] moves."""
        assert record.origins is not None
        is_still = np.array_equal(record.origins[:, 0], np.eye(len(record.frames)))
        return super().height(record) + (0 if is_still else LINE)

    def paint_valid(self, cell: Cell, record: TokenRecord, frame: int) -> None:
        """Draw the patches with the pixels of their frames, and arrows into those that moved."""
        assert record.origins is not None
        cls_origins, patch_origins = record.origins[frame, 0], record.origins[frame, 1:]
        by_patch = patch_origins.reshape(*record.grid, -1)  # (rows, columns, T)
        axes = cell.picture(mix_frames(record.frames, by_patch), record.grid)
        earlier, later = by_patch[..., :frame].sum(axis=-1), by_patch[..., frame + 1 :].sum(axis=-1)
        is_both = (earlier > 0) & (later > 0)
        mark_moved(axes, earlier, np.where(is_both, 0.3, 0.5), EARLIER, step=1)
        mark_moved(axes, later, np.where(is_both, 0.7, 0.5), LATER, step=-1)
        arrows = '→' * bool(cls_origins[:frame].any()) + '←' * bool(cls_origins[frame + 1 :].any())
        if arrows:
            cell.line(f'[CLS] {arrows}', top=height_of(record.frames[0]))


SUBJECTS: Mapping[str, Subject] = dict(
    frames=Frames(), chosen=Chosen(), scores=Scores(), slots=Slots(), shift=Shift()
)


def _slots(count: int) -> str:
    return '1 slot' if count == 1 else f'{count} slots'


def _range(record: TokenRecord) -> tuple[float, float]:
    """Smallest and largest score of the valid frames."""
    assert record.scores is not None
    scores = record.scores[record.frame_mask]
    return scores.min(), scores.max()


def _draw_bar(cell: Cell, top: float, record: TokenRecord, frame: int) -> None:
    """Draw the weight of a frame, on the scale of all frames of the video."""
    assert record.frame_weights is not None
    weight, highest = record.frame_weights[frame], record.frame_weights.max()
    mean = 1 / record.frame_mask.sum()
    axes = cell.axes('bar', top=top, height=BAR)
    axes.set(xlim=(0, 1), ylim=(0, 1.08 * highest))
    axes.bar(0.5, weight, width=0.36, color=CHOSEN)
    axes.plot((0, 1), (mean, mean), color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.plot((0, 1), (0, 0), color=RULE, linewidth=1.5)
    cell.line(f'{100 * weight:.1f} %', top=top + BAR, colour=INK)
