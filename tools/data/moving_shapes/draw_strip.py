"""Draw frames of videos as one picture, a row for each video."""

import argparse
from pathlib import Path

import cv2
import numpy as np

from ts2net_mm.video import GuardedVideoReader

GAP = 4


def read_row(video: Path, num_frames: int) -> np.ndarray:
    """Read evenly spaced frames side by side: (H, W, 3) uint8, RGB."""
    reader = GuardedVideoReader(str(video))
    chosen = np.linspace(0, len(reader) - 1, num_frames).round().astype(int)
    frames = reader.get_batch(chosen).asnumpy()
    padded = np.pad(frames, ((0, 0), (0, 0), (0, GAP), (0, 0)), constant_values=255)
    return np.concatenate(padded, axis=1)[:, :-GAP]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('videos', nargs='+', type=Path, help='video files of one size')
    parser.add_argument('--out', required=True, type=Path, help='picture to write, such as a.png')
    parser.add_argument('--frames', type=int, default=8, help='frames of a video (default: 8)')
    args = parser.parse_args()
    for video in args.videos:
        if not video.is_file():
            parser.error(f'video {video} does not exist')
    rows = [read_row(video, args.frames) for video in args.videos]
    gap = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    picture = np.concatenate([part for row in rows for part in (gap, row)][1:])
    if not cv2.imwrite(str(args.out), picture[..., ::-1]):
        parser.error(f'cannot write {args.out}')


if __name__ == '__main__':
    main()
