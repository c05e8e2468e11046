"""Measure an index in a file of Milvus Lite beside the same index in a folder.

Features are those of search_index.py. Each step has a process of its own; --step runs one of them
alone.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from search_index import SHARES, Features, build, compare, resident, score_all

from ts2net_mm.search import MilvusStore, VideoStore, open_index
from ts2net_mm.utils.cli import positive_int, run

STEPS = ('build', 'insert', 'folder', 'milvus')
VIDEOS_AT_A_TIME = 100
FOLDER, DATABASE = 'index', 'gallery.db'


def insert(place: Path) -> dict:
    """Add the videos of the folder that are missing in the database, and time that alone."""
    store = VideoStore(place / FOLDER)
    view = store.view()
    seconds, windows = 0.0, 0
    with MilvusStore.create(place / DATABASE, store.description) as database:
        present = set(database.paths())
        missing = [video for video in view.encoded_videos() if video.path not in present]
        with database.writer() as writer:
            for first in range(0, len(missing), VIDEOS_AT_A_TIME):
                part = missing[first : first + VIDEOS_AT_A_TIME]
                videos = [view.read_video(video.number) for video in part]
                start = time.perf_counter()
                writer.add(videos)
                seconds += time.perf_counter() - start
                windows += sum(video.num_windows for video in part)
            start = time.perf_counter()
        flushing = time.perf_counter() - start
        count = database.count()
    files = (place / DATABASE).rglob('*')
    size = sum(path.stat().st_size for path in files if path.is_file())
    return dict(
        windows=windows,
        seconds=seconds,
        windows_a_second=windows / (seconds + flushing) if windows else None,
        flushing=flushing,
        in_database=count,
        gigabytes=size / 1e9,
        memory=resident(),
    )


def search(place: Path, name: str, features: Features, number: int) -> dict:
    """Open an index, time queries, and compare the best ten with all scores."""
    view = VideoStore(place / FOLDER).view()
    queries = np.stack([features.query(query, view.num_videos) for query in range(number + 1)])
    start, processor = time.perf_counter(), time.process_time()
    index = open_index(place / name)
    num_videos, _ = index.count()
    opening = time.perf_counter() - start, time.process_time() - processor
    start = time.perf_counter()
    index.search(queries[-1:])
    first, queries = time.perf_counter() - start, queries[:-1]
    seconds, processor_seconds, found = [], [], []
    for query in queries:
        start, processor = time.perf_counter(), time.process_time()
        found += index.search(query[None])
        seconds.append(time.perf_counter() - start)
        processor_seconds.append(time.process_time() - processor)
    memory = resident()
    equal, differences = compare(score_all(view, queries), found)
    return dict(
        videos=num_videos,
        opening=opening[0],
        opening_processor=opening[1],
        first=first,
        median=statistics.median(seconds),
        median_processor=statistics.median(processor_seconds),
        slowest_of_a_hundred=float(np.quantile(seconds, 0.99)),
        scored=statistics.median(result.num_scored for result in found),
        most_scored=max(result.num_scored for result in found),
        queries=number,
        exact=sum(result.exact for result in found),
        equal_to_all_scores=equal,
        largest_difference=max(differences),
        memory=memory,
    )


def run_step(args: argparse.Namespace) -> None:
    """Run a step, and print what it found as JSON."""
    features = Features(args.spread)
    steps = dict(
        build=lambda: build(args.folder / FOLDER, features, args.windows),
        insert=lambda: insert(args.folder),
        folder=lambda: search(args.folder, FOLDER, features, args.queries),
        milvus=lambda: search(args.folder, DATABASE, features, args.queries),
    )
    print(json.dumps(steps[args.step](), indent=1))


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder', type=Path, help='where both are made')
    parser.add_argument('--windows', type=positive_int, default=100_000)
    parser.add_argument('--queries', type=positive_int, default=200)
    parser.add_argument('--spread', choices=sorted(SHARES), default='alike')
    parser.add_argument('--step', choices=STEPS, help='only this')
    args = parser.parse_args()
    if args.step:
        return run(run_step, args)
    for step in STEPS:
        print(f'{step}:', flush=True)
        command = [sys.executable, __file__, *sys.argv[1:], '--step', step]
        subprocess.run(command, check=True, env=os.environ)
    return 0


if __name__ == '__main__':
    sys.exit(main())
