"""Prepare generated annotations of the real sizes, and start the data sets on what was written.

MSR-VTT: 200,000 captions of 10,000 videos, of which 180,000 are those of the training split;
VATEX: 289,910 captions of 28,991 videos, of which 259,910 are those of the training split. The
video files are empty but for one byte: nothing here opens a video.
"""

import argparse
import contextlib
import io
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from measuring import Memory, describe_machine, watch
from report import format_bytes

from ts2net_mm.datasets import TextVideoDataset
from ts2net_mm.preparation.command import main as main_of_preparation

WORDS = ('a', 'the', 'man', 'woman', 'dog', 'red', 'ball', 'runs', 'plays', 'talks', 'music', 'on')


@dataclass(frozen=True)
class Sizes:
    """Numbers of videos and captions of a video, as published."""

    msrvtt_train: int = 7010
    msrvtt_test: int = 2990
    msrvtt_1ka: int = 1000
    msrvtt_captions: int = 20
    vatex_train: int = 25_991
    vatex_held_out: int = 1500
    vatex_captions: int = 10


def write_msrvtt(root: Path, sizes: Sizes) -> list[str]:
    """Write its official files and return the video ids."""
    train = [f'video{number}' for number in range(sizes.msrvtt_train)]
    test = [f'video{sizes.msrvtt_train + number}' for number in range(sizes.msrvtt_test)]
    sentences = [
        dict(video_id=one, caption=sentence(), sen_id=number)
        for one in (*train, *test)
        for number in range(sizes.msrvtt_captions)
    ]
    videos = [dict(video_id=one, split='test') for one in test]
    (root / 'MSRVTT_data.json').write_text(json.dumps(dict(videos=videos, sentences=sentences)))
    held_out = test[: sizes.msrvtt_1ka]
    train_9k = [*train, *test[sizes.msrvtt_1ka :]]
    (root / 'MSRVTT_train.9k.csv').write_text('\n'.join(['video_id', *train_9k]))
    (root / 'MSRVTT_train.7k.csv').write_text('\n'.join(['video_id', *train]))
    rows = [f'{one},{sentence()}' for one in held_out]
    (root / 'MSRVTT_JSFUSION_test.csv').write_text('\n'.join(['video_id,sentence', *rows]))
    return [*train, *test]


def write_vatex(root: Path, sizes: Sizes) -> list[str]:
    """Write its official files and return the video ids."""
    counts = dict(train=sizes.vatex_train, val=sizes.vatex_held_out, test=sizes.vatex_held_out)
    captions: dict[str, Any] = {}
    for split, count in counts.items():
        ids = [f'{split}{number:07}_000010_000020' for number in range(count)]
        (root / f'{split}_list.txt').write_text('\n'.join(ids))
        captions |= {one: [sentence() for _ in range(sizes.vatex_captions)] for one in ids}
    (root / 'ref_captions.json').write_text(json.dumps(captions))
    return list(captions)


def sentence() -> str:
    """Twelve words, as captions have on average about that many."""
    return ' '.join(random.choices(WORDS, k=12))


DATA_SETS: dict[str, tuple[Callable[[Path, Sizes], list[str]], tuple[str, str]]] = {
    'msrvtt': (write_msrvtt, ('train_9k.json', 'test_full.json')),
    'vatex': (write_vatex, ('train.json', 'test.json')),
}


def run(name: str, root: Path, sizes: Sizes | None = None) -> list[str]:
    """Generate, prepare and start one data set; say what it took."""
    random.seed(0)
    write, (train, test) = DATA_SETS[name]
    annotations, videos, out = root / 'annotations', root / 'videos', root / 'out'
    for folder in (annotations, videos):
        folder.mkdir()
    for one in write(annotations, sizes or Sizes()):
        (videos / f'{one}.mp4').write_bytes(b'x')

    def build(file: str, test_mode: bool) -> TextVideoDataset:
        prefix = dict(video='videos')
        return TextVideoDataset(
            data_root=str(out), ann_file=file, data_prefix=prefix, pipeline=(), test_mode=test_mode
        )

    lines = [f'{name}:']
    arguments = [name, f'--annotations={annotations}', f'--videos={videos}', f'--out={out}']
    code, took = timed(lambda: quietly(main_of_preparation, arguments))
    if code:
        raise RuntimeError(f'the preparation of {name} ended with {code}')
    lines.append(f'  preparation, without the import of the libraries: {took}')
    for file, test_mode in ((train, False), (test, True)):
        dataset, took = timed(partial(build, file, test_mode))
        lines.append(f'  start of {file}, {len(dataset):,} items: {took}')
    return lines


def quietly(command: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    """Run a command without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        return command(arguments)


def timed(work: Callable[[], Any]) -> tuple[Any, str]:
    """Run something once; return its result and what it took."""

    def measure() -> tuple[Any, float]:
        start = time.perf_counter()
        result = work()
        return result, time.perf_counter() - start

    (result, seconds), memory = watch(measure)
    return result, f'{seconds:.1f} s{_describe_memory(memory)}'


def _describe_memory(memory: Memory | None) -> str:
    if memory is None:
        return ''
    return (
        f', {format_bytes(memory.growth)} at its peak above the {format_bytes(memory.before)} '
        'before'
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'names', nargs='*', metavar='DATA_SET', help=f'{", ".join(DATA_SETS)} (default: both)'
    )
    args = parser.parse_args(argv)
    if unknown := [name for name in args.names if name not in DATA_SETS]:
        parser.error(f'no data set is named {unknown[0]}, choose from {", ".join(DATA_SETS)}')
    print(describe_machine(), flush=True)
    for name in args.names or DATA_SETS:
        with tempfile.TemporaryDirectory() as folder:
            print('\n'.join(run(name, Path(folder))), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
