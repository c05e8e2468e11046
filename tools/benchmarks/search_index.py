"""Measure an index of many windows: opening, queries, memory, adding, and equality with all scores.

Features are synthetic. A frame is a direction common to all, plus the content of its video, its
window and itself, with a spectrum that falls as that of real features does; the share of the frame
decides how alike the frames of a window are. A query is the common direction, the content of one
video, and content that no video has. --spread takes the share from:

alike: 0.05 to 0.45, evenly; cosines of two frames of a window from 0.9 to 1.0
shapes: 0.7 to 1.0; as different as the frames of a model that was trained from scratch on moving
    shapes, or nearly so

Each step that is timed has a process of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from startup import Seconds, measure, median

from ts2net_mm.search import (
    Description,
    Layout,
    SearchResult,
    VideoEntry,
    VideoIndex,
    VideoStore,
    View,
    WindowFeatures,
)
from ts2net_mm.utils.cli import positive_int, run

FRAMES, DIMS = 12, 512
WINDOWS_PER_VIDEO = 10
SECONDS = 12.0
BLOCK = 1000  # windows
ROOT = Path(__file__).resolve().parents[2]
STEPS = ('build', 'start', 'queries', 'equality', 'adding', 'clients')
COMMON, CONTENT = 0.75, 0.66
SHARES = dict(alike=(0.05, 0.45), shapes=(0.7, 1.0))


class Features:
    """Synthetic features, the same for a seed."""

    def __init__(self, spread: str) -> None:
        self.low, self.high = SHARES[spread]
        rng = np.random.default_rng(0)
        self.common = rng.standard_normal(DIMS).astype(np.float32)
        self.common /= np.linalg.norm(self.common)
        self.spectrum = (np.arange(1, DIMS + 1) ** -0.5).astype(np.float32)
        self.spectrum /= np.linalg.norm(self.spectrum)

    def content(self, rng: np.random.Generator, *shape: int) -> np.ndarray:
        """Random content: (*shape, D), of length 1 on average."""
        return rng.standard_normal((*shape, DIMS), dtype=np.float32) * self.spectrum

    def video(self, number: int) -> np.ndarray:
        """Return the windows of a video: (W, T, D)."""
        rng = np.random.default_rng((1, number))
        video = self.content(rng)
        window = 0.8 * video + 0.6 * self.content(rng, WINDOWS_PER_VIDEO)
        share = rng.uniform(self.low, self.high, (WINDOWS_PER_VIDEO, 1, 1)).astype(np.float32)
        frame = self.content(rng, WINDOWS_PER_VIDEO, FRAMES)
        inner = np.sqrt(1 - share**2) * window[:, None] + share * frame
        return COMMON * self.common + CONTENT * inner

    def query(self, number: int, num_videos: int) -> np.ndarray:
        """Return a query about one of the videos: (D,)."""
        rng = np.random.default_rng((2, number))
        target = np.random.default_rng((1, int(rng.integers(num_videos))))
        query = 0.3 * self.common + 0.5 * self.content(target) + 0.8 * self.content(rng)
        return query / np.linalg.norm(query)


def entries(features: Features, first: int, number: int) -> Iterator[VideoEntry]:
    """Yield videos to add."""
    starts = SECONDS / 2 * np.arange(WINDOWS_PER_VIDEO)
    for video in range(first, first + number):
        windows = WindowFeatures(
            starts=starts,
            ends=starts + SECONDS,
            features=features.video(video),
            frame_mask=np.ones((WINDOWS_PER_VIDEO, FRAMES), bool),
            frame_seconds=starts[:, None] + np.arange(FRAMES),
        )
        yield VideoEntry(f'/videos/{video // 1000}/{video}.mp4', 1, 1, 66.0, windows)


def build(folder: Path, features: Features, num_windows: int) -> None:
    """Add videos until there are so many windows."""
    score = dict(type='frame_weighted', temperature=4.0)
    layout = Layout(FRAMES, DIMS, 'float16')
    store = VideoStore.create(folder, Description('synthetic', layout, score))
    done = store.view().num_windows
    with store.writer() as writer:
        for first in range(done, num_windows, BLOCK):
            number = BLOCK // WINDOWS_PER_VIDEO
            writer.add(list(entries(features, first // WINDOWS_PER_VIDEO, number)))


def resident() -> dict[str, float]:
    """Memory of this process, GiB: the peak, and what is resident now, with mapped files."""
    status = Path('/proc/self/status').read_text(encoding='ascii')
    fields = dict(line.split(':', 1) for line in status.splitlines())
    return {name: int(fields[name].split()[0]) / 2**20 for name in ('VmHWM', 'VmRSS')}


def time_queries(folder: Path, features: Features, number: int) -> dict:
    """Open the index, ask one query after another, and note the time of each."""
    start = time.perf_counter()
    index = VideoIndex(folder)
    view = index.store.view()
    opening = time.perf_counter() - start
    seconds, cpu, results = [], [], []
    num_videos = view.num_videos
    for query in range(number):
        feature = features.query(query, num_videos)
        start, cpu_start = time.perf_counter(), time.process_time()
        results.append(index.search(feature[None])[0])
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
    return dict(
        windows=view.num_windows,
        opening=opening,
        first=seconds[0],
        median=statistics.median(seconds),
        slowest_of_a_hundred=float(np.quantile(seconds, 0.99)),
        median_cpu=statistics.median(cpu),
        slowest_cpu_of_a_hundred=float(np.quantile(cpu, 0.99)),
        scored=statistics.median(result.num_scored for result in results),
        most_scored=max(result.num_scored for result in results),
        exact=sum(result.exact for result in results),
        queries=number,
        radius=np.quantile(view.summary.radius, [0.1, 0.5, 0.9]).tolist(),
        spread=np.quantile(view.summary.spread, [0.1, 0.5, 0.9]).tolist(),
        memory=resident(),
    )


def score_all(view: View, queries: np.ndarray) -> np.ndarray:
    """Compute the best score of each video from all frames, in blocks: (Q, D) -> (Q, V)."""
    best = np.full((len(queries), view.num_videos), -2, np.float32)
    for segment in view.segments:
        for first in range(0, len(segment), BLOCK):
            last = min(first + BLOCK, len(segment))
            frames = segment.read_frames(range(first, last))['frames']
            cosines = queries.astype(np.float32) @ frames.reshape(-1, DIMS).astype(np.float32).T
            cosines = cosines.reshape(len(queries), -1, FRAMES)
            norms = np.sqrt(np.einsum('qnt,qnt->qn', cosines, cosines))
            weights = np.exp(4 * (cosines / norms[..., None] - 1))
            scores = (weights * cosines).sum(axis=-1) / weights.sum(axis=-1)
            scores = scores.reshape(len(queries), -1, WINDOWS_PER_VIDEO).max(axis=-1)
            place = first // WINDOWS_PER_VIDEO
            best[:, place : place + scores.shape[1]] = scores
    return best


def compare(best: np.ndarray, found: Sequence[SearchResult]) -> tuple[int, list[float]]:
    """Count the results that hold the best videos, and give the largest difference of each."""
    equal, differences = 0, []
    for row, result in zip(best, found, strict=True):
        numbers = [int(Path(hit.path).stem) for hit in result.hits]
        expected = np.argsort(-row)[: len(numbers)]
        differences.append(float(np.abs(row[numbers] - row[expected]).max()))
        equal += bool(differences[-1] < 1e-6)  # ties within rounding may be in any order
    return equal, differences


def compare_with_all(folder: Path, features: Features, number: int) -> dict:
    """Compare the best ten with those of all scores, computed from all frames in blocks."""
    index = VideoIndex(folder)
    view = index.store.view()
    queries = np.stack([features.query(query, view.num_videos) for query in range(number)])
    start = time.perf_counter()
    found = index.search(queries, view=view)
    searching = time.perf_counter() - start
    start = time.perf_counter()
    best = score_all(view, queries)
    brute_force = time.perf_counter() - start
    equal, differences = compare(best, found)
    return dict(
        queries=number,
        equal=equal,
        exact=sum(result.exact for result in found),
        largest_difference=max(differences),
        searching_all_queries=searching,
        brute_force=brute_force,
    )


def time_adding(folder: Path, features: Features) -> dict:
    """Add a thousand windows, five times."""
    store = VideoStore(folder)
    seconds = []
    first = store.view().num_windows // WINDOWS_PER_VIDEO
    start = time.perf_counter()
    with store.writer() as writer:
        opening = time.perf_counter() - start
        for step in range(5):
            number = BLOCK // WINDOWS_PER_VIDEO
            batch = list(entries(features, first + step * number, number))
            start = time.perf_counter()
            writer.add(batch)
            seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    store.view()
    return dict(opening_to_write=opening, seconds=seconds, new_view=time.perf_counter() - start)


def serve_clients(folder: Path, features: Features, seconds: float) -> dict:
    """Let eight threads ask while videos are added; check that certain answers stay certain."""
    index = VideoIndex(folder)
    num_videos = index.store.view().num_videos
    until = time.monotonic() + seconds
    times: list[float] = []
    wrong: list[int] = []
    inexact: list[int] = []

    def ask(client: int) -> None:
        rng = np.random.default_rng((3, client))
        while time.monotonic() < until:
            number = int(rng.integers(10**6))
            query = features.query(number, num_videos)
            view = index.store.view()
            start = time.perf_counter()
            result = index.search(query[None], view=view)[0]
            times.append(time.perf_counter() - start)
            # the windows of the hits once more, and of as many others with large products
            products = view.products(query[None].astype(np.float32))[0]
            others = np.argpartition(products, -2000)[-2000:]
            best = best_of(view, query, others)
            score = dict((hit.path, hit.score) for hit in result.hits)
            last = min(score.values())
            for path, value in best.items():
                if value > last + 1e-9 and abs(score.get(path, -2) - value) > 1e-9:
                    (wrong if result.exact else inexact).append(number)

    clients = [threading.Thread(target=ask, args=(client,)) for client in range(8)]
    for client in clients:
        client.start()
    added = 0
    with VideoStore(folder).writer() as writer:
        while time.monotonic() < until:
            writer.add(list(entries(features, num_videos + added, 10)))
            added += 10
            time.sleep(0.2)
    for client in clients:
        client.join()
    return dict(
        answers=len(times),
        wrong=len(wrong),
        inexact_and_incomplete=len(inexact),
        median=statistics.median(times),
        videos_added=added,
        memory=resident(),
    )


def best_of(view, query: np.ndarray, windows: np.ndarray) -> dict[str, float]:
    """Score windows by the definition: the best score of each of their videos."""
    best: dict[str, float] = {}
    query = query.astype(np.float64)
    query /= np.linalg.norm(query)  # its length is 1 within single precision only
    frames = view.read_frames(windows)['frames'].astype(np.float64)
    for window, cosines in zip(windows, frames @ query, strict=True):
        weights = np.exp(4 * cosines / np.linalg.norm(cosines))
        path = view.video(int(view.video_of_window[window])).path
        best[path] = max(best.get(path, -2.0), (weights * cosines).sum() / weights.sum())
    return best


def time_start(features: Features) -> dict:
    """Compare a search of one sentence from the command line with importing torch.

    The index is small, and has a text encoder of the size of CLIP's ViT-B/32 with random weights.
    """
    import torch

    from ts2net_mm.models import CLIPTextEncoder
    from ts2net_mm.search.text_encoder import TextSettings, source_of, store_text_encoder

    model = (str(ROOT / 'configs/clip_zero-shot.py'), 'ViT-B/32')
    encoder = CLIPTextEncoder()
    state = {key: 0.02 * torch.randn_like(value) for key, value in encoder.state_dict().items()}
    rounds: dict[str, list[Seconds]] = dict(torch=[], search=[])
    with tempfile.TemporaryDirectory() as name:
        build(Path(name), features, BLOCK)
        settings = TextSettings(source_of(*model), 32, 12, 8, 'QuickGELU')
        store_text_encoder(name, state, settings)
        search = [str(ROOT / 'tools/search.py'), *model, name, 'a dog catches a ball']
        for _ in range(6):
            rounds['torch'].append(measure(['-c', 'import torch']))
            rounds['search'].append(measure(search))
    times = {name: median(runs[1:]) for name, runs in rounds.items()}
    found, base = times['search'], times['torch']
    return dict(
        cpu={name: seconds.cpu for name, seconds in times.items()},
        wall={name: seconds.wall for name, seconds in times.items()},
        cpu_ratio=found.cpu / base.cpu,
        wall_ratio=found.wall / base.wall,
    )


def run_step(args: argparse.Namespace) -> None:
    """Run one step, and print what it found as JSON."""
    features = Features(args.spread)
    steps = dict(
        build=lambda: build(args.folder, features, args.windows),
        start=lambda: time_start(features),
        queries=lambda: time_queries(args.folder, features, 100),
        adding=lambda: time_adding(args.folder, features),
        equality=lambda: compare_with_all(args.folder, features, args.queries),
        clients=lambda: serve_clients(args.folder, features, args.seconds),
    )
    print(json.dumps(steps[args.step](), indent=1))


def run_steps(steps: Sequence[str]) -> None:
    """Run the steps of this program, each in a process of its own."""
    for step in steps:
        print(f'{step}:', flush=True)
        subprocess.run([sys.executable, *sys.argv, '--step', step], check=True)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder', type=Path, help='folder of the index, which is made')
    parser.add_argument('--windows', type=positive_int, default=1_000_000)
    parser.add_argument('--queries', type=positive_int, default=1000, help='compared with all')
    parser.add_argument('--seconds', type=positive_int, default=60, help='of the eight clients')
    parser.add_argument('--spread', choices=sorted(SHARES), default='alike')
    parser.add_argument('--step', choices=STEPS, help='only this')
    args = parser.parse_args()
    if args.step:
        return run(run_step, args)
    run_steps(STEPS)
    return 0


if __name__ == '__main__':
    sys.exit(main())
