"""Pictures of frames, and clips of moments in a format that browsers play."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from ...apis.reading import to_jpeg
from ...video import GuardedVideoReader
from .decoding import frames_at, open_video

__all__ = ['Clip', 'FramesAt']

MAX_HEIGHT = 144  # pixels of a picture
CLIP_HEIGHT = 360
CLIP_RATE = 12  # frames per second, as in a preview
CLIP_SECONDS = 60.0  # longest clip
CLIP_SETTINGS = dict(preset='veryfast', crf='23')
BYTES_AT_A_TIME = 2**27  # of decoded frames; each batch is decoded from a key frame on


@dataclass(frozen=True)
class FramesAt:
    """Frames of a video at some times, as JPEG pictures.

    Args:
        path: The video.
        version: Changes with the file.
        seconds: Presentation times of the frames.
    """

    path: str
    version: tuple[int, ...]
    seconds: tuple[float, ...]

    def run(self) -> list[bytes]:
        """Decode."""
        reader = open_video(self.path)
        images = _read(reader, frames_at(reader, self.seconds))
        return [to_jpeg(image, MAX_HEIGHT)[0] for image in images]


@dataclass(frozen=True)
class Clip:
    """A part of a video as MP4 with H.264, smaller and without sound.

    Args:
        path: The video.
        version: Changes with the file.
        start: Seconds.
        end: Seconds; a minute after the start at most.
    """

    path: str
    version: tuple[int, ...]
    start: float
    end: float

    def run(self) -> bytes:
        """Decode and encode."""
        reader = open_video(self.path)
        end = min(self.end, self.start + CLIP_SECONDS, reader.seconds)
        count = max(1, round((end - self.start) * CLIP_RATE))
        times = self.start + np.arange(count) / CLIP_RATE
        images = _read(reader, frames_at(reader, times.tolist()))
        first = next(images)
        content = io.BytesIO()
        with av.open(content, 'w', format='mp4') as container:
            stream = container.add_stream('libx264', rate=CLIP_RATE, options=CLIP_SETTINGS)
            stream.pix_fmt = 'yuv420p'
            stream.width, stream.height = _clip_size(*first.shape[:2])
            for image in chain([first], images):
                container.mux(stream.encode(_to_frame(image, stream)))
            container.mux(stream.encode())
        return content.getvalue()


def _read(reader: GuardedVideoReader, numbers: list[int]) -> Iterator[np.ndarray]:
    """Decode frames by their numbers, some at a time."""
    first = reader.get_batch(numbers[:1]).asnumpy()
    yield first[0]
    size = max(1, BYTES_AT_A_TIME // first.nbytes)
    for begin in range(1, len(numbers), size):
        yield from reader.get_batch(numbers[begin : begin + size]).asnumpy()


def _clip_size(height: int, width: int) -> tuple[int, int]:
    """Return width and height of a clip, which H.264 wants to be even."""
    scale = min(1.0, CLIP_HEIGHT / height)
    return 2 * max(1, round(width * scale / 2)), 2 * max(1, round(height * scale / 2))


def _to_frame(image: np.ndarray, stream: VideoStream) -> av.VideoFrame:
    size = (stream.width, stream.height)
    if image.shape[1::-1] != size:
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(image), 'rgb24')
