"""Check that moving textures show their direction by movement, and by nothing else.

Prints how often a rule without learning names the direction: it moves each frame by a step in every
direction and compares it with the next frame. Beside it, how often a linear classifier of the
pixels of a single frame does. Chance is 1 in 4.

  python tools/benchmarks/moving_textures.py --videos 400
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from ts2net_mm.rendered.moving_textures import (
    DIRECTIONS,
    GROUNDS,
    STEPS,
    Difficulty,
    Meaning,
    Scene,
    sample_scene,
)
from ts2net_mm.utils.cli import positive_int, run

PROBE_SIZE = 12  # height and width of what the classifier sees
RIDGE = 100.0
DIFFICULTIES = (
    Difficulty(),
    Difficulty(num_dots=6),
    Difficulty(num_dots=6, num_colours=1),
    Difficulty(grid=1),
    Difficulty(step=6, grid=6, radius=3.0),
    Difficulty(lifetime=2),
    Difficulty(num_dots=6, noise=0.5),
)


def draw_scene(number: int, difficulty: Difficulty, rng: np.random.Generator) -> Scene:
    """Draw a scene; four successive numbers have the four directions."""
    above, below = (str(colour) for colour in rng.choice(GROUNDS, 2))
    meaning = Meaning(DIRECTIONS[number % len(DIRECTIONS)], above, below)
    return sample_scene(meaning, rng, difficulty=difficulty)


def seen_direction(frames: np.ndarray, step: int) -> str:
    """Name the direction of the frames of a video: (T, H, W, 3) uint8."""
    dots = np.abs(frames - np.median(frames, axis=0, keepdims=True))  # the ground stands still

    def agreement(direction: str) -> float:
        x, y = step * np.array(STEPS[direction])
        moved = np.roll(dots[:-1], (y, x), axis=(1, 2))
        inside = np.roll(np.ones(dots.shape[1:3]), (y, x), axis=(0, 1))
        if x:
            inside[:, : max(x, 0)] = inside[:, inside.shape[1] + min(x, 0) :] = 0
        else:
            inside[: max(y, 0)] = inside[inside.shape[0] + min(y, 0) :] = 0
        seen = inside.astype(bool)
        return float(np.corrcoef(moved[:, seen].ravel(), dots[1:, seen].ravel())[0, 1])

    return max(DIRECTIONS, key=agreement)


def rule_accuracy(difficulty: Difficulty, num_videos: int, rng: np.random.Generator) -> float:
    """How often the rule names the direction, percent."""
    right = []
    for number in range(num_videos):
        scene = draw_scene(number, difficulty, rng)
        seen = seen_direction(scene.draw().astype(float), difficulty.step)
        right.append(seen == scene.meaning.direction)
    return 100 * float(np.mean(right))


def probe_accuracy(difficulty: Difficulty, num_videos: int, rng: np.random.Generator) -> float:
    """How often a ridge classifier of one frame's pixels names the direction, percent."""
    pixels, labels = [], []
    for number in range(2 * num_videos):
        scene = draw_scene(number, difficulty, rng)
        last = replace(scene, positions=scene.positions[-1:], colours=scene.colours[-1:]).draw()[0]
        small = cv2.resize(last, (PROBE_SIZE, PROBE_SIZE), interpolation=cv2.INTER_AREA)
        pixels.append(small.ravel() / 255.0)
        labels.append(number % len(DIRECTIONS))
    x = np.column_stack([pixels, np.ones(len(pixels))])
    y = np.eye(len(DIRECTIONS))[labels]
    train, test = slice(None, num_videos), slice(num_videos, None)
    weights = np.linalg.solve(
        x[train].T @ x[train] + RIDGE * np.eye(x.shape[1]), x[train].T @ y[train]
    )
    return 100 * float(np.mean((x[test] @ weights).argmax(axis=1) == np.array(labels)[test]))


def report(num_videos: int) -> None:
    """Print a row for each difficulty."""
    print('| dots | radius | step | grid | colours | lifetime | noise | rule, % | one frame, % |')
    print('| --- ' * 9 + '|')
    for difficulty in DIFFICULTIES:
        rule = rule_accuracy(difficulty, num_videos, np.random.default_rng(0))
        probe = probe_accuracy(difficulty, num_videos, np.random.default_rng(1))
        shown = (
            difficulty.num_dots,
            difficulty.radius,
            difficulty.step,
            difficulty.grid,
            difficulty.num_colours,
            difficulty.lifetime or 'no limit',
            difficulty.noise,
        )
        print(f'| {" | ".join(map(str, shown))} | {rule:.1f} | {probe:.1f} |', flush=True)
    print(f'\nchance: {100 / len(DIRECTIONS):.0f} %; {num_videos} videos each')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--videos', type=positive_int, default=400, help='of each row (default: 400)'
    )
    return run(report, parser.parse_args(argv).videos)


if __name__ == '__main__':
    sys.exit(main())
