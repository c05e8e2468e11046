"""Write a page with the strips of a video and the numbers behind them."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..apis.pages import render_page
from ..utils.files import write_text
from .recording import TokenRecord
from .strips import Strip

__all__ = ['write_token_page']

SMALLEST = 0.005  # weight of a patch that is listed


def write_token_page(
    path: str | Path, record: TokenRecord, strips: Sequence[Strip], *, model: str
) -> None:
    """Write one self-contained page atomically.

    Args:
        path: The page.
        record: What was recorded.
        strips: Its pictures.
        model: Name of the model, to be shown.
    """
    page = render_page(
        'tokens.html',
        record=record,
        model=model,
        pictures=[(strip, _data_uri(strip.image)) for strip in strips],
        rows=[_list_numbers(record, frame) for frame in range(len(record.frames))],
    )
    write_text(path, page)


def _data_uri(image: np.ndarray) -> str:
    png = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    return f'data:image/png;base64,{base64.b64encode(png).decode("ascii")}'


def _list_numbers(record: TokenRecord, frame: int) -> list[str]:
    """Frame, time, cosine, weight and kept patches, each as text."""
    time = '' if math.isnan(record.seconds[frame]) else f'{record.seconds[frame]:.2f}'
    if not record.frame_mask[frame]:
        return [str(frame + 1), time, '', '', 'padding']
    weights = record.frame_weights
    return [
        str(frame + 1),
        time,
        f'{record.cosines[frame]:.4f}',
        '' if weights is None else f'{100 * weights[frame]:.2f} %',
        _list_patches(record, frame),
    ]


def _list_patches(record: TokenRecord, frame: int) -> str:
    """Name the patches that are kept, the largest weight first."""
    if record.kept is None:
        return record.absent['selection']
    kept = record.kept[frame]
    order = [patch for patch in np.argsort(-kept, kind='stable') if kept[patch] >= SMALLEST]
    places = [divmod(int(patch), record.grid[1]) for patch in order]
    return ', '.join(
        f'({row + 1}, {column + 1}: {kept[patch]:.2f})'
        for (row, column), patch in zip(places, order, strict=True)
    )
