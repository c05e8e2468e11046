"""Compare exported encoders with the model that they came from."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..models import TS2Net
from .encoders import TEXT_ENCODER, VIDEO_ENCODER, VideoShape

__all__ = ['BATCH_SIZES', 'draw_sentences', 'draw_videos', 'measure_parity', 'open_encoder']

# of the calls; two sizes, because an exporter may record that of its example
BATCH_SIZES = (1, 2, 1, 2)


@torch.inference_mode()
def measure_parity(
    model: TS2Net,
    folder: Path,
    *,
    context_length: int,
    shape: VideoShape,
    batch_sizes: Sequence[int] = BATCH_SIZES,
) -> dict[str, float]:
    """Run the exported encoders and the model on random inputs, new ones in each call.

    Args:
        model: The model, on the CPU.
        folder: Folder of the ONNX files.
        context_length: Tokens of a sentence.
        shape: Frames of the videos, of which every second one is short.
        batch_sizes: Sentences and videos of each call.

    Returns:
        For each file the largest L2 distance of two features, relative to the model's feature.
    """
    encode_text = open_encoder(folder / TEXT_ENCODER)
    encode_video = open_encoder(folder / VIDEO_ENCODER)
    distances: dict[str, list[float]] = {TEXT_ENCODER: [], VIDEO_ENCODER: []}
    for number, size in enumerate(batch_sizes):
        text = draw_sentences(model, size, context_length)
        distances[TEXT_ENCODER].append(_distance(encode_text(text=text), model.encode_text(text)))
        num_frames = max(1, shape.num_frames - number) if shape.dynamic else shape.num_frames
        imgs, mask = draw_videos(size, num_frames, shape, first_short=number % 2)
        found, expected = encode_video(imgs=imgs, frame_mask=mask), model.encode_video(imgs, mask)
        distances[VIDEO_ENCODER].append(_distance(found, expected))
    return {name: max(found) for name, found in distances.items()}


def draw_sentences(model: TS2Net, num_texts: int, context_length: int) -> Tensor:
    """Draw token ids of sentences of different lengths: (num_texts, context_length) int64."""
    vocabulary = model.text_encoder.token_embedding.num_embeddings
    text = torch.randint(vocabulary - 2, (num_texts, context_length))
    for row, end in zip(text, torch.randint(1, context_length, (num_texts,)), strict=True):
        row[0], row[end] = vocabulary - 2, vocabulary - 1  # start and end of the sentence
        row[end + 1 :] = 0
    return text


def draw_videos(
    num_videos: int, num_frames: int, shape: VideoShape, *, first_short: int = 0
) -> tuple[Tensor, Tensor]:
    """Draw normalised frames and their masks; every second video is short."""
    mask = torch.ones(num_videos, num_frames, dtype=torch.bool)
    mask[first_short::2, (num_frames + 1) // 2 :] = False
    imgs = torch.randn(num_videos, num_frames, 3, shape.height, shape.width)
    return imgs * mask[:, :, None, None, None], mask


def open_encoder(path: Path) -> Callable[..., Tensor]:
    """Return a function that runs an ONNX file with onnxruntime on the CPU."""
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])

    def encode(**inputs: Tensor) -> Tensor:
        feeds = {name: value.numpy() for name, value in inputs.items()}
        return torch.from_numpy(session.run(None, feeds)[0])

    return encode


def _distance(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm(dim=-1) / expected.norm(dim=-1)).max().item()
