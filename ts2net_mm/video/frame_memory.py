"""Shared memory through which a decoding process returns frames."""

import mmap
import os
from math import prod

import numpy as np

__all__ = ['FrameMemory']

KEPT_BYTES = 2**26  # 24 frames of 1280 x 720


class FrameMemory:
    """One side of the memory: the decoding process writes frames, the other side copies them out.

    It grows to what a video needs. Up to 64 MiB are kept for the next video, more is released.

    Args:
        descriptor: Descriptor of a file that both processes have opened.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map: mmap.mmap | None = None

    def write(self, frames: np.ndarray) -> tuple[int, ...]:
        """Store frames and return their shape, which the other side needs to read them."""
        if os.fstat(self.descriptor).st_size < frames.nbytes:
            os.ftruncate(self.descriptor, frames.nbytes)
        np.copyto(self._view(frames.shape), frames)
        self._shrink(frames.nbytes)
        return frames.shape

    def read(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return a copy of the frames."""
        frames = self._view(shape).copy()
        if self._shrink(frames.nbytes):
            os.ftruncate(self.descriptor, 0)
        return frames

    def _view(self, shape: tuple[int, ...]) -> np.ndarray:
        size = prod(shape)
        if self._map is None or len(self._map) < size:
            self._map = mmap.mmap(self.descriptor, size)
        return np.frombuffer(self._map, dtype=np.uint8, count=size).reshape(shape)

    def _shrink(self, used_bytes: int) -> bool:
        if used_bytes <= KEPT_BYTES:
            return False
        self._map = None
        return True
