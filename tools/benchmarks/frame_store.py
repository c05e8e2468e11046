"""What does a frame store save, and how far do features move with JPEG?

moving-shapes: an epoch of the quickstart's training videos, read alone and with training.
clips: 15-second H.264 clips, read alone, by the protocol of 12 frames.
features: the same clips as JPEG of several qualities, against decoding.

Both sides run in one process, in turn, after a check that lossless pictures give the same pixels.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from measuring import Side, describe_machine, measure
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed
from report import Report
from resize_fidelity import natural_frame

from ts2net_mm.checkpoints import load_weights, read_checkpoint
from ts2net_mm.datasets.stored_steps import decoding_pipeline
from ts2net_mm.utils.cli import positive_int

ROOT = Path(__file__).resolve().parents[2]
QUALITIES = (75, 85, 90, 95, 98, 100)
CLIP_SECONDS = 15
CLIP_FPS = 25
CLIP_SIZE = (640, 360)


@dataclass(frozen=True)
class Work:
    """Videos and how they are read.

    Args:
        cfg: Config whose ``train_dataloader`` decodes them.
        folder: Where stores may be made.
    """

    cfg: Config
    folder: Path

    @property
    def dataset(self) -> dict:
        """Config of the data set that decodes."""
        dataset = self.cfg.train_dataloader.dataset
        return dict(dataset, pipeline=decoding_pipeline(dataset.pipeline))

    def stored(self, picture: str, quality: int = 95) -> dict:
        """Config of the data set that reads a store, which is made if it is not there."""
        store = self.folder / f'{picture}_{quality}'
        config = self.folder / 'config.py'
        self.cfg.dump(config)
        command = [str(config), '--splits=train', f'--out={store}', f'--format={picture}']
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = load_tool('data/store_frames.py')([*command, f'--quality={quality}'])
        if code:
            raise RuntimeError(f'the frame store was not made:\n{output.getvalue()}')
        opening, sampling, decoding, *rest = self.dataset['pipeline']
        reading = dict(type='FrameStoreInit', db_path=str(store), decoding=[opening, decoding])
        pipeline = [reading, sampling, dict(type='FrameStoreDecode'), *rest]
        return dict(self.dataset, pipeline=pipeline)

    def store_size(self, picture: str) -> str:
        """Size of a store that was made."""
        size = (self.folder / f'{picture}_95' / 'data.mdb').stat().st_size
        return f'{size / 1e6:,.0f} MB'


def load_tool(name: str) -> Callable[[Sequence[str]], int]:
    """Load the command of a tool."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, ROOT / 'tools' / name)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def moving_shapes(folder: Path, data: Path, videos: int) -> Work:
    """Take the quickstart's config, with some of its training videos."""
    cfg = Config.fromfile(ROOT / 'configs/ts2net_moving-shapes.py')
    dataset = cfg.train_dataloader.dataset
    train = json.loads((data / 'train.json').read_text(encoding='utf-8'))
    some = json.dumps(dict(list(train.items())[:videos]))
    (folder / 'train.json').write_text(some, encoding='utf-8')
    dataset.update(data_root='', ann_file=str(folder / 'train.json'))
    dataset.data_prefix.video = str(data)
    dataset.pipeline = decoding_pipeline(dataset.pipeline)
    return Work(cfg, folder)


def clips(
    folder: Path, number: int, size: tuple[int, int] = CLIP_SIZE, guarded: bool = False
) -> Work:
    """Write clips, and take the config of MSR-VTT for them.

    Without the guard they are decoded in this process, whose CPU time is counted.
    """
    names = [f'{index}.mp4' for index in range(number)]
    for index, name in enumerate(names):
        write_clip(folder / name, np.random.default_rng(index), size)
    annotation = {name: ['a clip'] for name in names}
    (folder / 'clips.json').write_text(json.dumps(annotation))
    cfg = Config.fromfile(ROOT / 'configs/ts2net_msrvtt.py')
    data = dict(ann_file=str(folder / 'clips.json'), data_prefix=dict(video=str(folder)))
    dataset = cfg.train_dataloader.dataset
    dataset.update(data, data_root='')
    if not guarded:
        dataset.pipeline = [dict(type='DecordInit'), *decoding_pipeline(dataset.pipeline)[1:]]
    return Work(cfg, folder)


def write_clip(path: Path, rng: np.random.Generator, size: tuple[int, int]) -> None:
    """Write a clip: a picture that is panned and zoomed, with a disc that moves over it."""
    width, height = size
    canvas = natural_frame(2 * width, 2 * height, edges=False, rng=rng)
    frames = CLIP_SECONDS * CLIP_FPS
    corners = rng.random((2, 2)) * (width, height)
    colour = rng.integers(0, 255, 3).tolist()
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=CLIP_FPS, options=dict(preset='veryfast'))
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        for number in range(frames):
            part = number / frames
            x, y = (corners[0] + part * (corners[1] - corners[0])).astype(int)
            side = 1 - 0.3 * part
            view = canvas[y : y + int(height * side), x : x + int(width * side)]
            frame = cv2.resize(view, size, interpolation=cv2.INTER_LINEAR)
            centre = int(part * width), height // 2
            cv2.circle(frame, centre, height // 6, colour, -1)
            picture = av.VideoFrame.from_ndarray(frame.astype(np.uint8), format='rgb24')
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def images(item: dict) -> torch.Tensor:
    """Frames of an item."""
    return item['inputs']['imgs'].float()


def check_lossless(decoding: Any, stored: Any) -> str:
    """Compare the pixels of the first items."""
    count = min(8, len(decoding))
    for index in range(count):
        expected, found = (
            (set_random_seed(index), images(dataset[index]))[1] for dataset in (decoding, stored)
        )
        if not torch.equal(expected, found):
            raise RuntimeError(f'item {index} differs from decoding')
    return f'pixels of {count} items are those of decoding'


def reading(work: Work, title: str, formats: Sequence[str], repeats: int) -> Report:
    """Read every item once a round, in this process."""
    decoding = DATASETS.build(work.dataset)
    sides, notes = [], []
    for picture in formats:
        stored = DATASETS.build(work.stored(picture))
        if picture != 'jpeg':
            notes.append(f'{picture}: {check_lossless(decoding, stored)}')
        sides.append(Side(f'store, {picture}, {work.store_size(picture)}', read_all(stored)))
    sides.append(Side('decoding', read_all(decoding)))
    title = f'{title}: {len(decoding)} items, read in one process'
    return Report(title, notes, measure(sides, repeats))


def read_all(dataset: Any) -> Callable[[], None]:
    """Make a function that reads every item."""

    def run() -> None:
        for index in range(len(dataset)):
            dataset[index]

    return run


def training(work: Work, repeats: int) -> str:
    """Train one epoch a round, as the config says, without validation."""
    epochs = {
        'decoding': train_epoch(work, work.dataset),
        'store, bmp': train_epoch(work, work.stored('bmp')),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in epochs}
    for _ in range(1 + repeats):
        for name, run in epochs.items():
            start, cpu_start = time.perf_counter(), sum(os.times()[:4])
            run()
            found[name].append((time.perf_counter() - start, sum(os.times()[:4]) - cpu_start))
    # the first round warms up
    medians = {name: np.median(rounds[1:], axis=0) for name, rounds in found.items()}
    ratios = np.divide(*medians.values())
    items, workers = len(DATASETS.build(work.dataset)), work.cfg.train_dataloader.num_workers
    rows = [f'  {name:24s} {wall:9.2f} s {cpu:10.2f} s' for name, (wall, cpu) in medians.items()]
    return '\n'.join(
        [
            f'moving shapes: an epoch of {items} items, training with {workers} workers',
            f'  {"":24s}  epoch time  CPU time, workers included',
            *rows,
            f'  decoding / store         {ratios[0]:9.2f}   {ratios[1]:10.2f}',
        ]
    )


def train_epoch(work: Work, dataset: dict) -> Callable[[], None]:
    """Make a function that trains for an epoch."""
    set_random_seed(0)
    model = MODELS.build(work.cfg.model)
    optim_wrapper = build_optim_wrapper(model, work.cfg.optim_wrapper)
    # workers that end with the epoch, so that their CPU time is known
    settings = dict(work.cfg.train_dataloader, persistent_workers=False)
    loader = Runner.build_dataloader(dict(settings, dataset=dataset), seed=0)

    def run() -> None:
        model.train()
        for batch in loader:
            model.train_step(batch, optim_wrapper)

    return run


def features(work: Work, weights: str | None) -> list[str]:
    """Tell how far JPEG moves pixels and features, beside the distance of two clips."""
    model = MODELS.build(dict(work.cfg.model, init_cfg=None))
    if weights:
        load_weights(model, read_checkpoint(weights))
    expected, pixels = encode(model, work.dataset)
    distances = [float((a - b).norm()) for a, b in combinations(expected, 2)]
    apart = float(np.mean(distances))
    lines = [
        f'{len(expected)} clips, {weights or "random weights"}; two clips are {apart:.4f} apart',
        'quality     size  pixels differ by  features move by  of that distance  cosine',
    ]
    for quality in QUALITIES:
        found, moved = encode(model, work.stored('jpeg', quality))
        size = (work.folder / f'jpeg_{quality}' / 'data.mdb').stat().st_size
        step = float((found - expected).norm(dim=-1).mean())
        cosine = float(torch.cosine_similarity(found, expected).mean())
        difference = float((moved - pixels).abs().mean())
        lines.append(
            f'{quality:7d} {size / 1e6:5.1f} MB {difference:17.2f} {step:17.4f} '
            f'{step / apart:17.2%} {cosine:7.5f}'
        )
    return lines


@torch.inference_mode()
def encode(model: Any, dataset: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """Encode all videos: their features of unit length, (N, D), and their pixels."""
    model.eval()
    items = [item for item in DATASETS.build(dict(dataset, test_mode=True))]
    rows = []
    for item in items:
        inputs = model.data_preprocessor(pseudo_collate([item]), False)['inputs']
        frames = model.encode_video(inputs['imgs'], inputs['frame_mask'])
        rows.append(frames[inputs['frame_mask']].mean(dim=0))
    return torch.nn.functional.normalize(torch.stack(rows)), torch.stack(list(map(images, items)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('parts', nargs='*', metavar='PART', help=f'{", ".join(PARTS)}; all')
    parser.add_argument(
        '--data', type=Path, default=ROOT / 'data/moving_shapes', help="the quickstart's videos"
    )
    parser.add_argument('--videos', type=positive_int, default=1280, help='of them (default: 1280)')
    parser.add_argument('--clips', type=positive_int, default=8, help='to write (default: 8)')
    parser.add_argument('--repeats', type=positive_int, default=3, help='rounds (default: 3)')
    parser.add_argument('--weights', help='of ViT-B/32, in any format (default: random)')
    parser.add_argument('--threads', type=positive_int, default=1, help='of torch (default: 1)')
    args = parser.parse_args(argv)
    if unknown := [part for part in args.parts if part not in PARTS]:
        parser.error(f'no part is named {unknown[0]}, choose from {", ".join(PARTS)}')
    init_default_scope('mmaction')
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(0)
    print(describe_machine(), flush=True)
    for part in args.parts or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            for text in PARTS[part](Path(folder), args):
                print(f'\n{text}', flush=True)
    return 0


def run_moving_shapes(folder: Path, args: argparse.Namespace):
    work = moving_shapes(folder, args.data, args.videos)
    yield reading(work, 'moving shapes', ('bmp', 'png', 'jpeg'), args.repeats)
    yield training(work, args.repeats)


def run_clips(folder: Path, args: argparse.Namespace):
    work = clips(folder, args.clips)
    title = f'{CLIP_SECONDS}-second H.264 clips of 640 x 360'
    yield reading(work, title, ('jpeg', 'png', 'bmp'), args.repeats)


def run_features(folder: Path, args: argparse.Namespace):
    set_random_seed(0)
    yield '\n'.join(features(clips(folder, args.clips), args.weights))


PARTS = {'moving-shapes': run_moving_shapes, 'clips': run_clips, 'features': run_features}

if __name__ == '__main__':
    sys.exit(main())
