"""Encode a video or a picture as a query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch.nn.functional as F
from mmaction.registry import TRANSFORMS

from ..apis.reading import PipelineReader, frame_seconds_of, to_arrays
from ..utils.workers import Failure
from .encoding import ItemEncoder

__all__ = ['encode_example']


def encode_example(inferencer: ItemEncoder, path: str | Path) -> np.ndarray:
    """Encode a video or a picture as a query for what resembles it: (D,).

    Args:
        inferencer: The model.
        path: The file.

    Raises:
        ValueError: If it cannot be read; the message names it and the reason.
    """
    image = cv2.imread(str(path)) if cv2.haveImageReader(str(path)) else None
    if image is None:
        item: Any = PipelineReader(pipeline=inferencer.video_pipeline)(str(path))
    else:
        item = _read_picture(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), inferencer.video_pipeline)
    if isinstance(item, Failure):
        raise ValueError(f'{path} cannot be read: {item.reason}')
    features, masks = inferencer.encode_items([item])
    frames = F.normalize(features[0][masks[0]].double(), dim=-1)
    return frames.mean(dim=0).numpy()


def _read_picture(image: np.ndarray, pipeline: list[dict]) -> dict[str, Any]:
    """Run a pipeline on a picture, as on a video of one frame."""
    transforms = [TRANSFORMS.build(dict(step)) for step in pipeline]
    results: dict[str, Any] = dict(
        filename='', video_id='', start_index=0, modality='RGB', total_frames=1, avg_fps=1.0
    )
    results['video_reader'] = _Still(image)
    for transform in transforms[1:-1]:  # without the one that opens a video
        results = transform(results)
    seconds = frame_seconds_of(results)
    return to_arrays(transforms[-1](results), seconds)


class _Still:
    """A picture, with the methods of a video reader that the transforms call."""

    def __init__(self, image: np.ndarray) -> None:
        self._image = image
        self._number = 0

    def get_batch(self, indices: Any) -> _Still:
        """Return the picture for each of the numbers."""
        self._number = len(indices)
        return self

    def asnumpy(self) -> np.ndarray:
        """Return what was asked for last."""
        return np.stack([self._image] * self._number)
