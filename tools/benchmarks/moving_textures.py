"""Check that moving textures show their meaning by movement, and by nothing else.

Prints how often a rule without learning names the movement of a half: it warps each frame by every
movement and compares it with the next frame. Beside it, how often a linear classifier of the pixels
of a single frame does. Chance is 1 in 17: 16 movements, and none.

  python tools/benchmarks/moving_textures.py --videos 200
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import cv2
import numpy as np

from ts2net_mm.rendered.moving_textures import (
    FRAME_SIZE,
    MOTIONS,
    SPEEDS,
    Difficulty,
    Meaning,
    Motion,
    sample_scene,
    step_of,
)
from ts2net_mm.utils.cli import positive_int, run

ALL_MOTIONS = [Motion(*parts) for parts in product(MOTIONS, SPEEDS)]
HALF = FRAME_SIZE // 2
LEAST_CORRELATION = 0.1  # of a movement; random frames have less
PROBE_SIZE = (12, 6)  # height and width of what the classifier sees of a half
RIDGE = 100.0
DIFFICULTIES = (
    Difficulty(num_dots=2),
    Difficulty(),
    Difficulty(num_dots=12),
    Difficulty(lifetime=4),
    Difficulty(lifetime=2),
    Difficulty(noise=0.3),
    Difficulty(noise=0.6),
    Difficulty(num_dots=24, radius=1.5, num_colours=1),
)


def seen_motion(half: np.ndarray) -> Motion | None:
    """Name the movement of the frames of a half: (T, H, W, 3) uint8; None if there is none."""
    scores = [_agreement(half, motion) for motion in ALL_MOTIONS]
    best = int(np.argmax(scores))
    return ALL_MOTIONS[best] if scores[best] > LEAST_CORRELATION else None


def _agreement(half: np.ndarray, motion: Motion) -> float:
    """Correlate the warped frames with the next ones, where something can be seen of both."""
    back, _ = step_of(motion.reversal)
    grid = np.stack(np.meshgrid(np.arange(HALF), np.arange(FRAME_SIZE)), axis=-1).astype(float)
    source: np.ndarray = back(grid.reshape(-1, 2)).reshape(grid.shape).astype(np.float32)
    visible = ((source >= 0) & (source <= (HALF - 1, FRAME_SIZE - 1))).all(axis=-1)
    x, y = np.moveaxis(source, -1, 0)
    warped = [cv2.remap(frame, x, y, cv2.INTER_LINEAR)[visible] for frame in half[:-1]]
    expected = np.stack(warped).ravel().astype(float)
    return float(np.corrcoef(expected, half[1:, visible].ravel())[0, 1])


def draw_halves(
    motion: Motion | None, difficulty: Difficulty, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the left and the right half of a video in which both do the same."""
    frames = sample_scene(Meaning((motion, motion)), rng, difficulty=difficulty).draw()
    return frames[:, :, :HALF], frames[:, :, HALF:]


def rule_accuracy(difficulty: Difficulty, num_videos: int, rng: np.random.Generator) -> float:
    """How often the rule names the movement of a half, percent."""
    right = []
    for number in range(num_videos):
        motion = (*ALL_MOTIONS, None)[number % (len(ALL_MOTIONS) + 1)]
        right += [seen_motion(half) == motion for half in draw_halves(motion, difficulty, rng)]
    return 100 * float(np.mean(right))


def probe_accuracy(difficulty: Difficulty, num_videos: int, rng: np.random.Generator) -> float:
    """How often a ridge classifier of one frame's pixels names the movement, percent."""
    pixels, labels = [], []
    for number in range(2 * num_videos):
        label = number % (len(ALL_MOTIONS) + 1)
        motion = (*ALL_MOTIONS, None)[label]
        scene = sample_scene(Meaning((motion, motion)), rng, difficulty=difficulty)
        last = replace(scene, positions=scene.positions[-1:], colours=scene.colours[-1:]).draw()[0]
        for half in (last[:, :HALF], last[:, HALF:]):
            small = cv2.resize(half, PROBE_SIZE[::-1], interpolation=cv2.INTER_AREA)
            pixels.append(small.ravel() / 255.0)
            labels.append(label)
    x = np.column_stack([pixels, np.ones(len(pixels))])
    y = np.eye(len(ALL_MOTIONS) + 1)[labels]
    train, test = slice(None, len(x) // 2), slice(len(x) // 2, None)
    weights = np.linalg.solve(
        x[train].T @ x[train] + RIDGE * np.eye(x.shape[1]), x[train].T @ y[train]
    )
    return 100 * float(np.mean((x[test] @ weights).argmax(axis=1) == np.array(labels)[test]))


def report(num_videos: int) -> None:
    """Print a row for each difficulty."""
    print('| dots | radius | colours | lifetime | noise | rule, % | single frame, % |')
    print('| --- | --- | --- | --- | --- | --- | --- |')
    for difficulty in DIFFICULTIES:
        rule = rule_accuracy(difficulty, num_videos, np.random.default_rng(0))
        probe = probe_accuracy(difficulty, num_videos, np.random.default_rng(1))
        shown = (
            difficulty.num_dots,
            difficulty.radius,
            difficulty.num_colours,
            difficulty.lifetime or 'no limit',
            difficulty.noise,
        )
        print(f'| {" | ".join(map(str, shown))} | {rule:.1f} | {probe:.1f} |', flush=True)
    print(f'\nchance: {100 / (len(ALL_MOTIONS) + 1):.1f} %; {2 * num_videos} halves each')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--videos', type=positive_int, default=200, help='of each row (default: 200)'
    )
    return run(report, parser.parse_args(argv).videos)


if __name__ == '__main__':
    sys.exit(main())
