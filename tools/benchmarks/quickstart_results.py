"""Write the results of the quickstart with seeds 0, 1 and 2 into docs, model index and README.

Run it at the measured commit, after `bash tools/quickstart.sh --seed N` for each seed:

  python tools/benchmarks/quickstart_results.py work_dirs/quickstart{,-seed1,-seed2}

tests/test_tools/test_quickstart_results.py fails when the code no longer trains as measured.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from ts2net_mm.evaluation.report import format_table, read_test_metrics
from ts2net_mm.rendered import render
from ts2net_mm.rendered.moving_shapes import MOVING_SHAPES
from ts2net_mm.utils.files import write_text
from ts2net_mm.utils.text import digest_of

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/ts2net_moving-shapes.py'
SETTINGS = (
    'model',
    'train_dataloader',
    'test_dataloader',
    'test_evaluator',
    'train_cfg',
    'optim_wrapper',
    'param_scheduler',
)


def settings_digest() -> str:
    """Condense the settings that decide about the results."""
    cfg = Config.fromfile(CONFIG)
    settings = [cfg[name] for name in SETTINGS]
    return digest_of(settings + [hook for hook in cfg.custom_hooks if hook.type == 'EMAHook'])


def annotations_digest() -> str:
    """Condense names, sentences and meanings of all videos."""
    splits = MOVING_SHAPES.plan_videos(0, 2560).values()
    return digest_of({video.name: video.annotation for videos in splits for video in videos})


def first_losses(folder: Path) -> list[float]:
    """Train two epochs of two iterations on the first 128 training videos, with seed 0."""
    render(MOVING_SHAPES, folder / 'data', num_train_videos=128)
    cfg = Config.fromfile(CONFIG)
    options = {'train_cfg.max_epochs': 2, 'train_cfg.val_interval': 9, 'randomness': dict(seed=0)}
    options |= {'default_hooks.checkpoint': None, 'log_level': 'ERROR'}
    for split in ('train', 'val'):
        loader = f'{split}_dataloader'
        options |= {
            f'{loader}.dataset.data_root': str(folder / 'data'),
            f'{loader}.num_workers': 0,
            f'{loader}.persistent_workers': False,
        }
    cfg.merge_from_dict(options)
    cfg.work_dir = str(folder / 'work')
    runner = Runner.from_cfg(cfg)
    runner.train()
    history, _ = runner.message_hub.get_scalar('train/loss').data
    return [round(float(loss), 4) for loss in history]


def update_docs(metrics: Sequence[dict[str, float]], commit: str) -> None:
    """Replace the printed tables and their commit, and the recalls that the README states."""
    tables = '\n\n'.join(f'seed {seed}\n{format_table(m)}' for seed, m in enumerate(metrics))
    _replace(
        ROOT / 'docs/evidence/quickstart.md',
        (r'```\nseed 0\n.*?\n```', f'```\n{tables}\n```'),
        (r'at commit `\w*`', f'at commit `{commit}`'),
    )
    recalls = ', '.join(f'{m["t2v/R1"]:.1f}' for m in metrics)
    _replace(ROOT / 'README.md', (r'R@1 was [\d., ]+ %', f'R@1 was {recalls} %'))


def update_index(metrics: Sequence[dict[str, float]], commit: str, losses: list[float]) -> None:
    """Replace the results in the model index, and what the test compares."""
    results = ''.join(
        f'      - Dataset: moving shapes, quickstart, seed {seed}\n'
        '        Task: Video Retrieval\n        Metrics:\n'
        + ''.join(
            f'          Recall@{rank}{name}: {m[f"{key}/R{rank}"]:.1f}\n'
            for key, name in (('t2v', ''), ('t2v_dsl', ' (inverted softmax)'))
            for rank in (1, 5, 10)
        )
        + f'          Reversal Accuracy: {m["t2v/reversal_acc"]:.1f}\n'
        for seed, m in enumerate(metrics)
    )
    _replace(
        ROOT / 'configs/metafile.yml',
        (r"      Commit: '\w*'", f"      Commit: '{commit}'"),
        (r"      Settings: '\w*'", f"      Settings: '{settings_digest()}'"),
        (r"      Annotations: '\w*'", f"      Annotations: '{annotations_digest()}'"),
        (r"      First Losses: '.*?'", f"      First Losses: '{', '.join(map(str, losses))}'"),
        (r'      - Dataset: moving shapes.*?(?=    Results Source)', results),
    )


def _replace(path: Path, *changes: tuple[str, str]) -> None:
    text = path.read_text(encoding='utf-8')
    for pattern, new in changes:
        text, count = re.subn(pattern, new.replace('\\', r'\\'), text, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f'{path}: {pattern!r} occurs {count} times, expected 1')
    write_text(path, text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'work_dirs', nargs=3, type=Path, help='work folders of the seeds 0, 1 and 2'
    )
    parser.add_argument('--commit', help='that was measured (default: the one checked out)')
    args = parser.parse_args(argv)
    try:
        metrics = [read_test_metrics(folder) for folder in args.work_dirs]
        command = ['git', '-C', str(ROOT), 'rev-parse', '--short', 'HEAD']
        commit = args.commit or subprocess.check_output(command, text=True).strip()
        with tempfile.TemporaryDirectory() as folder:
            losses = first_losses(Path(folder))
        update_index(metrics, commit, losses)
        update_docs(metrics, commit)
        subprocess.run([sys.executable, ROOT / 'tools/model_table.py'], check=True)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'README, docs and model index show the results of commit {commit}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
