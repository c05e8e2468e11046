"""Videos whose frames show their own number, in any format that FFmpeg writes."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from ts2net_mm.preparation.compression import find_ffmpeg

WIDTH, HEIGHT = 176, 96
FPS = 25
NUM_FRAMES = 150
BITS = 8
H264 = ('-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-g', '50')


def paint(number: int) -> np.ndarray:
    """Draw the bits of a number as black and white blocks, in two rows of four."""
    frame = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for bit in range(BITS):
        row, column = divmod(bit, 4)
        top, left = 8 + 44 * row, 8 + 42 * column
        frame[top : top + 36, left : left + 34] = 235 if number >> bit & 1 else 20
    return frame


@pytest.fixture(scope='session')
def read_number() -> Callable[[np.ndarray], int]:
    """Function that reads the number off a frame of any size."""

    def read(frame: np.ndarray) -> int:
        height, width = frame.shape[:2]
        number = 0
        for bit in range(BITS):
            row, column = divmod(bit, 4)
            y = round((8 + 44 * row + 18) * height / HEIGHT)
            x = round((8 + 42 * column + 17) * width / WIDTH)
            number |= int(frame[y - 2 : y + 3, x - 2 : x + 3].mean() > 128) << bit
        return number

    return read


@pytest.fixture(scope='session')
def ffmpeg() -> Callable[..., bytes]:
    """Function that runs ffmpeg and returns what it prints; skips where there is none."""
    try:
        program = find_ffmpeg()
    except FileNotFoundError:
        pytest.skip('no ffmpeg in PATH or imageio-ffmpeg')

    def run(*arguments: object, content: bytes | None = None) -> bytes:
        command = [program, '-y', '-loglevel', 'error', *map(str, arguments)]
        done = subprocess.run(command, input=content, capture_output=True, check=False)
        if done.returncode and b'Unknown encoder' in done.stderr:
            pytest.skip(done.stderr.decode().splitlines()[0])
        assert not done.returncode, done.stderr.decode()
        return done.stdout

    return run


@pytest.fixture(scope='session')
def painted(ffmpeg, tmp_path_factory) -> Callable[..., Path]:
    """Function that encodes numbered frames at 25 per second: file name, ffmpeg's arguments."""
    folder = tmp_path_factory.mktemp('painted')
    content = b''.join(paint(number).tobytes() for number in range(NUM_FRAMES))
    size = f'{WIDTH}x{HEIGHT}'
    source = ('-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', size, '-r', FPS, '-i', '-')

    def make(name: str, *arguments: str) -> Path:
        path = folder / name
        if not path.exists():
            ffmpeg(*source, *arguments, path, content=content)
        return path

    return make


@pytest.fixture(scope='session')
def remuxed(ffmpeg, painted) -> Callable[..., Path]:
    """Function that copies H.264 in MP4: file name, arguments before the input, and after it."""

    def make(name: str, before: Sequence[str], after: Sequence[str] = ('-c', 'copy')) -> Path:
        source = painted('h264.mp4', *H264)
        path = source.with_name(name)
        if not path.exists():
            ffmpeg(*before, '-i', source, *after, path)
        return path

    return make
