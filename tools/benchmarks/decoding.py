"""How long does it take to read a frame a second of a video, with PyAV and with decord?

Clips of 15 seconds of H.264 at 25 frames a second, in two sizes, with key frames every 12 and every
250 frames. Both sides open the file and read 12 frames through the guard, each in a helper process
of its own and with one decoding thread, after a check that their pixels are equal. The memory is
the most that the helper process ever held.
"""

import argparse
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Side, describe_machine, measure

from ts2net_mm.datasets.transforms import frames_by_rate
from ts2net_mm.preparation.compression import find_ffmpeg
from ts2net_mm.utils.cli import positive_int
from ts2net_mm.video import GuardedVideoReader, guarded_reader

SECONDS = 15
FRAMES = 12
SIZES = ((320, 240), (1280, 720))
KEY_FRAME_DISTANCES = (12, 250)


def write_clip(path: Path, size: tuple[int, int], key_frame_distance: int) -> None:
    """Encode a moving pattern with noise."""
    width, height = size
    pattern = f'testsrc2=size={width}x{height}:rate=25:duration={SECONDS},noise=alls=8:allf=t'
    command = [find_ffmpeg(), '-y', '-loglevel', 'error', '-f', 'lavfi', '-i', pattern]
    command += ['-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-g', str(key_frame_distance), str(path)]
    subprocess.run(command, check=True)


def read_frames(path: Path, decoder: Any) -> np.ndarray:
    """Open a video and read evenly spread frames of those at one a second."""
    reader = GuardedVideoReader(str(path), decoder=decoder)
    numbers = frames_by_rate(len(reader), reader.get_avg_fps())
    numbers = numbers[np.linspace(0, len(numbers) - 1, FRAMES, dtype=int)]
    return reader.get_batch(numbers).asnumpy()


class InThread:
    """Runs one decoder in a thread of its own, so that it has a helper process of its own."""

    def __init__(self, path: Path, decoder: str) -> None:
        self.path, self.decoder = path, decoder
        self._asked, self._answered = threading.Semaphore(0), threading.Semaphore(0)
        self.result: Any = None
        self.pid = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._asked.acquire()
            self.result = read_frames(self.path, self.decoder)
            self.pid = guarded_reader._helper().process.pid
            self._answered.release()

    def __call__(self) -> np.ndarray:
        self._asked.release()
        self._answered.acquire()
        return self.result

    @property
    def peak(self) -> int:
        """Most memory of the helper so far, MiB."""
        status = Path(f'/proc/{self.pid}/status').read_text(encoding='utf-8')
        return int(status.partition('VmHWM:')[2].split()[0]) // 1024


def compare(path: Path, title: str, repeats: int) -> str:
    """Time both decoders in turn."""
    sides = {name: InThread(path, name) for name in ('pyav', 'decord')}
    difference = np.abs(sides['pyav']().astype(int) - sides['decord']()).max()
    ours, theirs = measure([Side(name, run) for name, run in sides.items()], repeats)
    return (
        f'{title}: pixels differ by at most {difference}; pyav {1e3 * ours.median:,.0f} ms, '
        f'decord {1e3 * theirs.median:,.0f} ms, decord / pyav {theirs.median / ours.median:.2f}; '
        f'pyav {sides["pyav"].peak} MiB, decord {sides["decord"].peak} MiB'
    )


def main() -> None:
    """Run all clips and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--repeats', type=positive_int, default=15, help='rounds (default: 15)')
    args = parser.parse_args()
    print(f'{describe_machine()}; rounds: {args.repeats}')
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            for distance in KEY_FRAME_DISTANCES:
                path = Path(folder) / f'{size[0]}_{distance}.mp4'
                write_clip(path, size, distance)
                title = f'{size[0]} x {size[1]}, a key frame every {distance} frames'
                print(compare(path, title, args.repeats))


if __name__ == '__main__':
    main()
