"""Run benchmarks by name; those of docs/performance.md and docs/scaling.md without a name.

Each of these checks that its sides compute the same, then measures them in alternating rounds.
The output is a table for each, and optionally a JSON file with all rounds; --pages writes the
tables into the two pages. The scripts behind the other pages run by name too, and have arguments
of their own when they are called directly.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from measuring import describe_machine, machine
from mmengine.logging import MMLogger
from report import Report, Table

from ts2net_mm.utils.cli import expecting, positive_int
from ts2net_mm.utils.cli import run as run_command
from ts2net_mm.utils.files import ensure_writable, write_text

ROOT = Path(__file__).resolve().parents[2]
PAGES = tuple(ROOT / 'docs' / name for name in ('performance.md', 'scaling.md', 'export.md'))


@dataclass(frozen=True)
class Benchmark:
    """A function that measures something.

    Args:
        about: What it measures.
        module: Module of this folder that holds it.
        function: Takes the number of rounds; returns a table or several.
        repeats: Rounds, unless the command line says otherwise; None if it only counts or runs
            once, and takes no number.
        arguments: What the function is called with besides.
    """

    about: str
    module: str
    function: str = 'run'
    repeats: int | None = 5
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, repeats: int | None) -> list[Report | Table]:
        """Run it."""
        function = getattr(import_module(self.module), self.function)
        rounds = [] if self.repeats is None else [repeats or self.repeats]
        found = function(*rounds, **self.arguments)
        return [found] if isinstance(found, Report | Table) else list(found)


@dataclass(frozen=True)
class Output:
    """What a script printed."""

    text: str

    def __str__(self) -> str:
        return self.text

    def markdown(self) -> str:
        """Write it as a block of text."""
        return f'```text\n{self.text}\n```'

    def as_dict(self) -> dict[str, Any]:
        """Give what a JSON file keeps."""
        return dict(lines=self.text.splitlines())


@dataclass(frozen=True)
class Script:
    """A script of this folder that prints its own tables, for a page of docs/evidence.

    Args:
        about: What it measures.
        command: Its name and arguments.
    """

    about: str
    command: Sequence[str]

    def __call__(self, repeats: int | None) -> list[Output]:
        """Run it in a process of its own, with its own number of rounds."""
        name, *arguments = self.command
        command = [sys.executable, str(Path(__file__).with_name(name)), *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True)
        return [Output(done.stdout.strip())]


BENCHMARKS: dict[str, Benchmark | Script] = {
    'train-step': Benchmark(
        'a step of ViT-B/32, and of a model shaped as the released code', 'as_released', repeats=3
    ),
    'step-profile': Benchmark(
        'the operations of both steps, with torch.profiler', 'step_profile', repeats=None
    ),
    'products': Benchmark(
        'a matrix product in fp32 and bf16', 'precision', 'run_products', repeats=9
    ),
    'bf16-encoding': Benchmark('encoding in bf16 and fp32', 'precision', 'run_encoding'),
    'bf16-training': Benchmark(
        'a train step in bf16 and fp32', 'precision', 'run_training', repeats=3
    ),
    'compiled': Benchmark(
        'a compiled train step and a plain one', 'precision', 'run_compiled', repeats=None
    ),
    'attention': Benchmark(
        'the same with nn.MultiheadAttention in the blocks', 'train_step', repeats=2
    ),
    'optimizer': Benchmark(
        'BertAdam, and a loop over its tensors',
        'optimizer',
        repeats=9,
        arguments=dict(fp16_arithmetic=False),
    ),
    'optimizer-fp16': Benchmark(
        "the same with CLIP's matrices in fp16",
        'optimizer',
        repeats=9,
        arguments=dict(fp16_arithmetic=True),
    ),
    'selection': Benchmark('token selection, and its one-hot form', 'selection', repeats=9),
    'similarity': Benchmark(
        'temporal transformer and similarity, and loops over pairs', 'similarity', repeats=2
    ),
    'similarity-alone': Benchmark('similarity without the transformer', 'similarity', 'run_alone'),
    'similarity-large': Benchmark(
        '20,000 texts and 5,000 videos', 'similarity', 'run_large', repeats=None
    ),
    'evaluation': Benchmark(
        'metrics of many captions a video', 'multi_caption_evaluation', repeats=3
    ),
    'cached-batch': Benchmark(
        '128 videos, 8 at a time, and plain steps of 8', 'cached_batch', repeats=1
    ),
    'cached-batch-memory': Benchmark(
        'bytes of a video in training', 'cached_batch', 'memory_table', repeats=None
    ),
    'complexity': Benchmark('parameters and multiply-adds', 'complexity', repeats=None),
    'onnx-b32': Benchmark(
        'exported ViT-B/32: difference, size and time',
        'onnx_export',
        arguments=dict(name='ViT-B/32'),
    ),
    'onnx-b16': Benchmark(
        'the same of ViT-B/16', 'onnx_export', repeats=3, arguments=dict(name='ViT-B/16')
    ),
    'onnx-64-frames': Benchmark(
        'the same of ViT-B/32 with 64 frames',
        'onnx_export',
        repeats=3,
        arguments=dict(name='ViT-B/32, 64 frames'),
    ),
    'pipeline': Benchmark('from file to batch, and how long a step waits', 'pipeline', repeats=2),
    'scaling': Benchmark('time and memory against each size', 'scaling', repeats=2),
    'decoding': Script('PyAV and decord: docs/evidence/videos.md', ['decoding.py']),
    'frame-store': Script(
        'reading stores and files: docs/evidence/frames.md',
        ['frame_store.py', 'clips', '--clips', '4'],
    ),
    'frame-store-features': Script(
        'features of stored frames: docs/evidence/frames.md',
        ['frame_store.py', 'features', '--clips', '4'],
    ),
    'resize-fidelity': Script(
        'pixels of resized frames: docs/evidence/pixels.md', ['resize_fidelity.py']
    ),
    'fp16-arithmetic': Script(
        'what fp16 arithmetic changes: docs/evidence/recipe.md', ['fp16_arithmetic.py']
    ),
    'data-preparation': Script('annotations: tools/data/README.md', ['data_preparation.py']),
    'search-index': Script(
        'an index of 100,000 windows; docs/search.md has a million',
        ['search_index.py', 'work_dirs/search_index', '--windows', '100000'],
    ),
    'startup': Script('imports: docs/mmaction2.md', ['startup.py', '--skip-help']),
}
PAGE_BENCHMARKS = [name for name, one in BENCHMARKS.items() if isinstance(one, Benchmark)]


def as_json(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Write everything that was measured, with the machine."""
    benchmarks = {
        name: dict(one, tables=[table.as_dict() for table in one['tables']])
        for name, one in found.items()
    }
    return json.dumps(dict(machine=machine(), benchmarks=benchmarks), indent=2) + '\n'


def update_page(path: Path, found: Mapping[str, Mapping[str, Any]]) -> int:
    """Replace the tables of a page that were measured again; return how many blocks changed.

    A block begins with ``<!-- run.py NAME -->`` and ends with ``<!-- end -->``.
    """

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in found:
            return match.group()
        one = found[name]
        tables = '\n\n'.join(table.markdown() for table in one['tables'])
        took = f'{one["machine"]}; {one["seconds"]:,.0f} s in all'
        return f'<!-- run.py {name} -->\n\n{tables}\n\n{took}\n\n<!-- end -->'

    text = path.read_text(encoding='utf-8')
    pattern = r'<!-- run\.py (\S+) -->\n.*?<!-- end -->'
    write_text(path, re.sub(pattern, replace, text, flags=re.DOTALL))
    return len(set(re.findall(pattern, text, flags=re.DOTALL)) & set(found))


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    names = '\n'.join(f'  {name:22}{one.about}' for name, one in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        description=f'{__doc__}\nbenchmarks:\n{names}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('names', nargs='*', metavar='NAME', help='default: those of the two pages')
    parser.add_argument('--repeats', type=positive_int, help="rounds (default: each one's own)")
    parser.add_argument('--threads', type=positive_int, help="threads of torch (default: torch's)")
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write all rounds here')
    parser.add_argument('--markdown', action='store_true', help='print Markdown tables')
    parser.add_argument(
        '--pages', action='store_true', help=f'update {" and ".join(p.name for p in PAGES)}'
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = build_parser()
    args = parser.parse_args(argv)
    unknown = [name for name in args.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f'no benchmark is named {unknown[0]}, choose from {", ".join(BENCHMARKS)}')
    if args.json:
        ensure_writable(args.json, 'JSON file')
    if args.threads:
        torch.set_num_threads(args.threads)
    MMLogger.get_instance('benchmarks', log_level='ERROR')  # else each drawn weight is logged
    found: dict[str, dict[str, Any]] = {}
    for name in args.names or PAGE_BENCHMARKS:
        print(f'measuring {name} ...', file=sys.stderr, flush=True)
        before, start = describe_machine(), time.perf_counter()
        tables = BENCHMARKS[name](args.repeats)
        seconds = time.perf_counter() - start
        found[name] = dict(machine=before, seconds=seconds, tables=tables)
        print(f'\n{before}; {seconds:,.0f} s in all', flush=True)
        for table in tables:
            print(f'\n{table.markdown() if args.markdown else table}', flush=True)
        if args.json:  # after each, because a long run may be interrupted
            write_text(args.json, as_json(found))
    if args.pages:
        for page in PAGES:
            update_page(page, found)


if __name__ == '__main__':
    sys.exit(run_command(main, explain=expecting(OSError, subprocess.CalledProcessError)))
