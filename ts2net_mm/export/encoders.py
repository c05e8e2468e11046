"""The two encoders of a model as ONNX graphs, for any number of sentences and videos."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..models import TemporalTransformer, TokenSelection, TS2Net

__all__ = [
    'TEXT_ENCODER',
    'VIDEO_ENCODER',
    'VideoShape',
    'check_exportable',
    'write_text_encoder',
    'write_video_encoder',
]

TEXT_ENCODER = 'text_encoder.onnx'
VIDEO_ENCODER = 'video_encoder.onnx'

# fewer frames would be taken for a constant; the graph computes one and two frames as well
FEWEST_TRACED_FRAMES = 3


@dataclass(frozen=True)
class VideoShape:
    """Frames that an exported video encoder accepts.

    Args:
        num_frames: Frames of a video, and the most frames if their number is dynamic.
        height: Pixels.
        width: Pixels.
        dynamic: Whether the number of frames may differ between batches.
    """

    num_frames: int
    height: int
    width: int
    dynamic: bool = False


class _TextEncoder(nn.Module):
    def __init__(self, model: TS2Net) -> None:
        super().__init__()
        self.model = model

    def forward(self, text: Tensor) -> Tensor:
        return self.model.encode_text(text)


class _VideoEncoder(nn.Module):
    def __init__(self, model: TS2Net) -> None:
        super().__init__()
        self.model = model

    def forward(self, imgs: Tensor, frame_mask: Tensor) -> Tensor:
        return self.model.encode_video(imgs, frame_mask)


def check_exportable(model: nn.Module, shape: VideoShape) -> None:
    """Raise an error for a model that no ONNX graph can represent.

    Raises:
        ValueError: If it is no TS2Net, draws noise in each call, or interpolates its temporal
            positions although the number of frames is dynamic.
    """
    if not isinstance(model, TS2Net):
        raise ValueError(f'the model is {type(model).__name__}, expected TS2Net')
    if isinstance(model.neck, TokenSelection) and model.neck.test_mode == 'fresh_noise':
        raise ValueError(
            "model.neck.test_mode='fresh_noise' draws noise in each call, which ONNX cannot "
            "repeat: export with 'fixed_noise' or 'hard'"
        )
    limit = _most_dynamic_frames(model)
    if shape.dynamic and limit is not None and shape.num_frames > limit:
        raise ValueError(
            f'{shape.num_frames} frames of {model.neck.num_tokens} tokens exceed the '
            f'{len(model.head.temporal.pos_embed)} temporal positions, which are interpolated for '
            f'a fixed number of frames only: use a fixed number, or at most {limit} frames'
        )
    if shape.dynamic and shape.num_frames <= FEWEST_TRACED_FRAMES:
        raise ValueError(
            f'a dynamic number of frames needs a maximum above {FEWEST_TRACED_FRAMES}, found '
            f'{shape.num_frames}'
        )


def _most_dynamic_frames(model: TS2Net) -> int | None:
    """Most frames of which each token has its own temporal position; None for no limit."""
    temporal = model.head.temporal
    if not isinstance(temporal, TemporalTransformer):
        return None
    return len(temporal.pos_embed) // model.neck.num_tokens


def write_text_encoder(model: TS2Net, path: Path, *, context_length: int) -> None:
    """Write the text encoder: ``text`` (batch, context_length) int64 -> ``features`` (batch, D)."""
    text = torch.ones(2, context_length, dtype=torch.int64)
    _write(_TextEncoder(model), path, dict(text=text), {0: torch.export.Dim('batch')})


def write_video_encoder(model: TS2Net, path: Path, *, shape: VideoShape) -> None:
    """Write the video encoder, from normalised frames to one feature a frame.

    Shape:
        - ``imgs``: (batch, frames, 3, H, W) float, ``frame_mask``: (batch, frames) bool
          -> ``features`` (batch, frames, D)
    """
    imgs = torch.zeros(2, shape.num_frames, 3, shape.height, shape.width)
    mask = torch.ones(imgs.shape[:2], dtype=torch.bool)
    dims = {0: torch.export.Dim('batch')}
    if shape.dynamic:
        dims[1] = torch.export.Dim('frames', min=FEWEST_TRACED_FRAMES, max=shape.num_frames)
    _write(_VideoEncoder(model), path, dict(imgs=imgs, frame_mask=mask), dims)


def _write(encoder: nn.Module, path: Path, inputs: dict[str, Tensor], dims: dict) -> None:
    with torch.no_grad(), _quietly():
        program = torch.onnx.export(
            encoder.eval(),
            kwargs=inputs,
            dynamo=True,
            input_names=list(inputs),
            output_names=['features'],
            dynamic_shapes={name: dims for name in inputs},
            verbose=False,
        )
    assert program is not None
    program.save(path)


@contextmanager
def _quietly() -> Iterator[None]:
    """Hide the remarks of the exporter about its own parts."""
    exporter = logging.getLogger('torch.onnx')
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        exporter.setLevel(level)
