"""Measure on a GPU what the other benchmarks measure on a CPU; under eight minutes on an H100.

Steps by precision, batch and model; a cached batch; mixed precision against fp32; processes over
NCCL; the evaluation; encoding from files and from a frame store; the tests that need a GPU. A
section that fails is reported, and the others go on. --device cpu --small runs the script itself.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import multi_caption_evaluation
import pipeline
import torch
from lab import CONFIGS, DTYPES, ROOT, STEP_COLUMNS, Lab, matrix_rate, step_row, time_steps
from measuring import describe_machine
from mmengine.logging import MMLogger
from report import Table
from run import as_json

from ts2net_mm.engine.cached_batch import CachedStep
from ts2net_mm.models import TS2Net
from ts2net_mm.rendered import render
from ts2net_mm.rendered.moving_shapes import MOVING_SHAPES
from ts2net_mm.utils.files import ensure_writable, write_text


def matrices(lab: Lab) -> Table:
    """Rate of large matrix products, with which the FLOPs of the model are compared."""
    rows = [[name, matrix_rate(lab, name) / 1e12] for name in DTYPES]
    return Table('matrix products', [], ['precision', 'TFLOP/s'], rows)


def training(lab: Lab) -> Table:
    """Steps by model, precision and batch."""
    rows = []
    for name in CONFIGS:
        batches = {'ViT-B/32': (16, 128), 'ViT-B/16': (16,)}[name]
        for precision in lab.precisions:
            for videos in lab.pick(batches, (2,)):
                rows.append([name, precision, *training_row(lab, name, precision, videos)])
    columns = ['model', 'precision', *STEP_COLUMNS, 'GiB']
    return Table('training step, 12 frames and 32 words a video', [], columns, rows)


def training_row(lab: Lab, name: str, precision: str, videos: int) -> list[Any]:
    """Cells of one setting; a message where the memory does not suffice."""
    with lab.memory() as peak:
        try:
            model = lab.model(name)
            batch = lab.batch(model, videos)
            step = partial(model.train_step, batch, lab.wrapper(model, precision))
            _, seconds = time_steps(lab, step)
        except torch.OutOfMemoryError:
            return [videos, 'out of memory', *[None] * 4]
        return [*step_row(lab, name, precision, videos, seconds), peak()]


def cached_batch(lab: Lab) -> Table:
    """A batch of 128 in chunks, the same in plain steps of a chunk, and in one plain step."""
    videos, chunk = lab.pick((128, 16), (4, 2))
    rows = []
    for title, size, chunked in (
        (f'cached batch, chunks of {chunk}', videos, True),
        (f'plain step of {chunk}', chunk, False),
        (f'plain step of {videos}', videos, False),
    ):
        with lab.memory() as peak:
            model = lab.model('ViT-B/32')
            wrapper, batch = lab.wrapper(model, 'bf16'), lab.batch(model, size)
            cached = CachedStep(model, wrapper, chunk_size=chunk)
            step = partial(cached, batch) if chunked else partial(model.train_step, batch, wrapper)
            seconds = time_steps(lab, step, 3)[1]
            rows.append([title, *step_row(lab, 'ViT-B/32', 'bf16', size, seconds), peak()])
    ratio = rows[0][2] / (rows[1][2] * videos / chunk)
    notes = [f'cached batch / as many plain steps of a chunk: {ratio:.2f} of the time']
    return Table('cached batch, ViT-B/32, bf16', notes, ['', *STEP_COLUMNS, 'GiB'], rows)


def mixed_precision(lab: Lab) -> Table:
    """Losses of 20 steps on the same batches and noise, against those in fp32."""
    losses: dict[str, list[float]] = {}
    notes = []
    for precision in lab.precisions:
        model = lab.model('ViT-B/32')
        wrapper = lab.wrapper(model, precision)
        batches = [lab.batch(model, lab.pick(16, 2)) for _ in range(2)]
        torch.manual_seed(1)
        found = [model.train_step(batches[step % 2], wrapper)['loss'] for step in range(20)]
        losses[precision] = [loss.item() for loss in found]
        if precision == 'fp16':
            notes.append(f'loss scale at the end: {wrapper.loss_scaler.get_scale():,.0f}')
    rows = []
    for precision, found in losses.items():
        pairs = zip(found, losses['fp32'], strict=True)
        worst = max(abs(one - other) / abs(other) for one, other in pairs)
        rows.append([precision, f'{found[0]:.4f}', f'{found[-1]:.4f}', f'{worst:.1e}'])
    columns = ['precision', 'first loss', 'loss of step 20', 'largest relative difference']
    return Table('mixed precision against fp32, ViT-B/32', notes, columns, rows)


def processes(lab: Lab) -> Table:
    """tools/dist_train.sh on rendered videos, with one process and with two where possible."""
    data, rows = lab.folder / 'shapes', []
    render(MOVING_SHAPES, data, num_train_videos=lab.pick(640, 64))
    counts = [1, 2] if lab.device == 'cpu' or torch.cuda.device_count() > 1 else [1]
    for count in counts:
        options = [f'data_root={data}', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=9']
        options += [f'train_dataloader.dataset.data_root={data}']
        options += [f'val_dataloader.dataset.data_root={data}', 'train_dataloader.batch_size=16']
        work_dir = lab.folder / f'work_{count}'
        command = ['bash', ROOT / 'tools/dist_train.sh', ROOT / 'configs/ts2net_moving-shapes.py']
        command += [str(count), '--work-dir', work_dir, '--seed', '0', '--cfg-options', *options]
        code, seconds, output = run_command(lab, command, 120)
        losses = re.findall(r' loss: ([\d.]+)', output)
        backend = 'NCCL' if 'NCCL version' in output else 'gloo'
        rows.append([count, backend, code, seconds, losses[-1] if losses else last_line(output)])
    columns = ['processes', 'backend', 'exit code', 'seconds', 'last loss']
    return Table('processes of the quickstart, an epoch', [], columns, rows)


def run_command(lab: Lab, command: Sequence[Any], limit: float) -> tuple[int, float, str]:
    """Run a command in the repository; return its exit code, seconds and output."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    visible = {} if lab.device == 'cuda' else dict(CUDA_VISIBLE_DEVICES='')
    start = time.perf_counter()
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=os.environ | dict(PATH=path, NCCL_DEBUG='VERSION') | visible,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit,
        check=False,
    )
    return done.returncode, time.perf_counter() - start, done.stdout


def last_line(text: str) -> str:
    return ([line for line in text.splitlines() if line.strip()] or [''])[-1][-160:]


def evaluation(lab: Lab) -> Table:
    """All metrics from the features on, which MMEngine's device computes."""
    rows = []
    for videos, texts in lab.pick(((1000, 1000), (2990, 59_800)), ((20, 40),)):
        sizes = multi_caption_evaluation.Sizes(videos=videos, texts=texts)
        samples = multi_caption_evaluation.draw_predictions(sizes)
        with lab.memory() as peak:
            work = partial(multi_caption_evaluation.evaluate, samples, None)
            rows.append([texts, videos, lab.timed(work), peak()])
    columns = ['texts', 'videos', 'seconds', 'GiB']
    return Table('evaluation with inverted softmax, 12 frames', [], columns, rows)


def encoding(lab: Lab) -> Table:
    """Encode videos from files and from a frame store, by the number of workers."""
    sizes = pipeline.Sizes(
        clips=lab.pick(((320, 240),), ((64, 48),)),
        number=lab.pick(8, 2),
        batch=lab.pick(16, 2),
        batches=lab.pick(24, 2),
    )
    model = lab.model('ViT-B/32').eval()
    with tempfile.TemporaryDirectory(dir=lab.folder) as folder, torch.inference_mode():
        _, datasets = pipeline.sources(Path(folder), sizes)
        batch = lab.batch(model, sizes.batch)
        times = [lab.timed(partial(encode, lab, model, batch)) for _ in range(5)]
        rows: list[list[Any]] = [['batch in memory', 0, sizes.batch / median(times[1:])]]
        for name, dataset in datasets.items():
            for workers in lab.pick((4, 16), (0, 1)):
                loader = pipeline.build_loader(dataset, sizes, workers)
                start = time.perf_counter()
                for count, batch in enumerate(loader):
                    encode(lab, model, batch)
                    if not count:  # the workers have started
                        start = time.perf_counter()
                lab.wait()
                speed = count * sizes.batch / (time.perf_counter() - start)
                rows.append([name, workers, speed])
    title = f'encoding, ViT-B/32, bf16, batches of {sizes.batch}'
    return Table(title, [], ['source', 'workers', 'videos a second'], rows)


def encode(lab: Lab, model: TS2Net, batch: dict) -> torch.Tensor:
    """Encode a batch of the data loader."""
    with torch.autocast(lab.device, torch.bfloat16):
        inputs = model.data_preprocessor(batch, False)['inputs']
        return model.encode_video(inputs['imgs'], inputs['frame_mask'])


def compiled(lab: Lab) -> Table:
    """Steps with torch.compile, as the setting `compile` of a config does it."""
    model, videos = lab.model('ViT-B/32'), lab.pick(16, 2)
    batch, wrapper = lab.batch(model, videos), lab.wrapper(model, 'bf16')
    # in small, tracing by itself: the compiler would take longer than everything else
    step = torch.compile(model.train_step, backend=lab.pick('inductor', 'aot_eager'))
    first, seconds = time_steps(lab, partial(step, batch, wrapper))
    row = [first, *step_row(lab, 'ViT-B/32', 'bf16', videos, seconds)]
    columns = ['first step, s', *STEP_COLUMNS]
    return Table('training step with torch.compile, ViT-B/32, bf16', [], columns, [row])


def tests(lab: Lab) -> Table:
    """The tests that need a GPU."""
    command = [sys.executable, '-m', 'pytest', '-q', '-m', 'gpu', 'tests']
    code, seconds, output = run_command(lab, command, 200)
    rows = [['pytest -m gpu', code, seconds, last_line(output)]]
    return Table('tests', [], ['', 'exit code', 'seconds', 'last line'], rows)


SECTIONS: dict[str, Callable[[Lab], Table]] = {
    section.__name__.replace('_', '-'): section
    for section in (
        matrices,
        training,
        cached_batch,
        mixed_precision,
        processes,
        evaluation,
        encoding,
        compiled,
        tests,
    )
}


def run_section(lab: Lab, section: Callable[[Lab], Table]) -> Table:
    """Run a section; a failure becomes a table that says so."""
    try:
        return section(lab)
    except Exception as error:
        traceback.print_exc()
        text = f'{type(error).__name__}: {error}'.splitlines()[0][:200]
        return Table(section.__name__, ['FAILED'], ['', 'error'], [[section.__name__, text]])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sections, print Markdown and return the number of failures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('sections', nargs='*', metavar='SECTION', help=f'{", ".join(SECTIONS)}')
    parser.add_argument('--out', type=Path, metavar='FILE', help='write everything as JSON')
    parser.add_argument('--device', choices=('cuda', 'cpu'), default='cuda', help='default: cuda')
    parser.add_argument('--small', action='store_true', help='tiny models and data')
    args = parser.parse_args(argv)
    if unknown := [name for name in args.sections if name not in SECTIONS]:
        parser.error(f'no section is named {unknown[0]}, choose from {", ".join(SECTIONS)}')
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('torch sees no GPU; --device cpu --small tries the script itself')
    if args.out:
        ensure_writable(args.out, 'JSON file')
    MMLogger.get_instance('benchmarks', log_level='ERROR')  # else each drawn weight is logged
    found: dict[str, dict[str, Any]] = {}
    before, start = describe_machine(), time.perf_counter()
    print(before, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(args.device, args.small, Path(folder))
        for name in args.sections or SECTIONS:
            started = time.perf_counter()
            table = run_section(lab, SECTIONS[name])
            seconds = time.perf_counter() - started
            found[name] = dict(machine=before, seconds=seconds, tables=[table])
            print(f'\n{table.markdown()}\n\n{seconds:.0f} s', flush=True)
            if args.out:  # after each, because the time on a GPU may end
                write_text(args.out, as_json(found))
    print(f'\n{time.perf_counter() - start:.0f} s in all')
    return sum('FAILED' in one['tables'][0].notes for one in found.values())


if __name__ == '__main__':
    sys.exit(main())
