"""Write an odd video: python write_odd_video.py FILE SETTINGS, the latter in JSON.

In a separate process, because PyAV's libvpx does not start after decord was imported.
"""

import json
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write(
    path: Path, *, frames=24, size=(64, 48), codec='mpeg4', pixels='yuv420p', milliseconds=None
) -> None:
    """Write frames of rising grey with a white corner at the top left, 12 a second."""
    width, height = size
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=12)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        if milliseconds:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(frames):
            image = np.full((height, width, 3), 10 + 4 * number % 200, dtype=np.uint8)
            image[: height // 4, : width // 4] = 255
            frame = av.VideoFrame.from_ndarray(image, 'rgb24').reformat(format=pixels)
            if milliseconds:
                frame.pts, frame.time_base = milliseconds[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


if __name__ == '__main__':
    write(Path(sys.argv[1]), **json.loads(sys.argv[2]))
