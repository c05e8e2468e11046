"""Compare the time of ``import ts2net_mm`` with that of the libraries below it.

Each import runs in a process of its own, in turn with the others, and the medians are compared.
Also shown is how long ``--help`` of each tool takes.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARIES = 'import torch, mmengine, mmcv'
IMPORTS = {
    LIBRARIES: LIBRARIES,
    'import ts2net_mm': 'import ts2net_mm',
    'import ts2net_mm.parts (all parts)': 'import ts2net_mm.parts',
    'import ts2net_mm.apis (search)': 'import ts2net_mm.apis',
}


class Seconds(NamedTuple):
    """What one process took."""

    cpu: float
    wall: float


def measure(arguments: Sequence[str | Path]) -> Seconds:
    """Run Python once; the CPU time includes its child processes."""
    before = os.times()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    after = os.times()
    if done.returncode:
        raise RuntimeError(f'{" ".join(map(str, arguments))} failed:\n{done.stderr}')
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    return Seconds(cpu, after.elapsed - before.elapsed)


def median(runs: Sequence[Seconds]) -> Seconds:
    """Return the median of each kind of time."""
    return Seconds(*(statistics.median(times) for times in zip(*runs, strict=True)))


def compare_imports(rounds: int) -> None:
    """Measure and print the imports."""
    runs: dict[str, list[Seconds]] = {name: [] for name in IMPORTS}
    for code in IMPORTS.values():  # once, for compiled files and the disk's cache
        measure(['-c', code])
    for _ in range(rounds):
        for name, code in IMPORTS.items():
            runs[name].append(measure(['-c', code]))
    base = median(runs[LIBRARIES])
    print(f'median of {rounds} processes each')
    print('| | CPU s | wall s | CPU ratio | wall ratio |')
    print('| --- | --- | --- | --- | --- |')
    for name, times in runs.items():
        cpu, wall = median(times)
        ratios = f'{cpu / base.cpu:.2f} | {wall / base.wall:.2f}'
        print(f'| {name} | {cpu:.2f} | {wall:.2f} | {ratios} |')


def measure_help() -> None:
    """Measure and print ``--help`` of each tool."""
    print('\n| --help of | CPU s | wall s |\n| --- | --- | --- |')
    for path in sorted(REPOSITORY.glob('tools/**/*.py')):
        if '__main__' in path.read_text(encoding='utf-8'):
            cpu, wall = measure([path, '--help'])
            print(f'| {path.relative_to(REPOSITORY)} | {cpu:.2f} | {wall:.2f} |')


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=5, help='processes of each (default: 5)')
    parser.add_argument('--skip-help', action='store_true', help='measure the imports only')
    args = parser.parse_args()
    started = time.monotonic()
    compare_imports(args.rounds)
    if not args.skip_help:
        measure_help()
    print(f'\n{time.monotonic() - started:.0f} s')


if __name__ == '__main__':
    main()
