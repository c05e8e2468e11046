"""From a checkpoint to the analysis: tools/test.py with a query bank, then tools/analysis."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ts2net_mm.apis.inferencer import build_model, load_config
from ts2net_mm.moving_shapes.mp4 import encode_mp4

ROOT = Path(__file__).parents[2]
CONFIG = f"""
_base_ = {str(ROOT / 'configs' / 'ts2net_moving-shapes.py')!r}

data_root = 'DATA_ROOT'
model = dict(
    backbone=dict(embed_dims=16, num_layers=2, num_heads=2, out_dims=16, shift_layers=(0, 1)),
    text_encoder=dict(width=16, num_layers=1, num_heads=2, out_dims=16),
    neck=dict(embed_dims=16, num_samples=10),
    head=dict(temporal=dict(embed_dims=16, num_layers=1, num_heads=2)),
)
# One video at a time: then the features do not depend on which videos a process gets.
test_dataloader = dict(batch_size=1, num_workers=0,
                       dataset=dict(data_root=data_root, ann_file='test.json'))
test_evaluator = dict(hard_negative=None)
custom_hooks = [dict(type='StrictCheckpointHook'), dict(type='QueryBankHook')]
"""


@pytest.fixture(scope='module')
def project(tmp_path_factory) -> Path:
    """A folder with a config, random weights, seven videos and the annotations of two splits."""
    folder = tmp_path_factory.mktemp('project')
    rng = np.random.default_rng(0)
    test, train = {}, {}
    for number in range(7):
        blocks = rng.integers(0, 256, (12, 6, 8, 3), dtype=np.uint8)
        frames = blocks.repeat(8, axis=1).repeat(8, axis=2)
        (folder / f'{number}.mp4').write_bytes(encode_mp4(frames, fps=6))
        test[f'{number}.mp4'] = [f'clip {number}', f'a clip called {number}', 'x'][: 1 + number % 3]
    for number in range(300):
        train[f'train{number}.mp4'] = [f'a bank sentence {number}', f'{number} is a number']
    (folder / 'test.json').write_text(json.dumps(test))
    (folder / 'train.json').write_text(json.dumps(train))
    (folder / 'config.py').write_text(CONFIG.replace('DATA_ROOT', str(folder)))
    torch.manual_seed(0)
    model = build_model(load_config(folder / 'config.py'))
    state_dict = {
        key: value if value.dim() == 0 else 0.2 * torch.randn_like(value)
        for key, value in model.state_dict().items()
    }
    torch.save(dict(state_dict=state_dict), folder / 'model.pth')
    return folder


def run(*arguments: object, processes: int = 0, cwd: Path) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable]
    if processes:
        launcher += ['-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={processes}']
    paths = [str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])]
    environment = os.environ | {'PYTHONPATH': os.pathsep.join(paths), 'OMP_NUM_THREADS': '1'}
    command = [*launcher, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


def run_test(
    project: Path, folder: Path, *arguments: object, ann_file: str = 'train.json', **kwargs
):
    return run(
        ROOT / 'tools/test.py',
        project / 'config.py',
        project / 'model.pth',
        '--work-dir',
        folder,
        '--dump',
        folder / 'scores.npz',
        '--cfg-options',
        f'test_evaluator.query_bank.ann_file={project / ann_file}',
        'test_evaluator.query_bank.num_queries=550',
        *arguments,
        cwd=folder,
        **kwargs,
    )


def table_of(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith('| ')]


@pytest.mark.slow
def test_one_and_two_processes_and_the_analysis_agree(project, tmp_path):
    one, two = tmp_path / 'one', tmp_path / 'two'
    one.mkdir()
    two.mkdir()
    alone = run_test(project, one)
    assert alone.returncode == 0, alone.stderr[-2000:]
    table = table_of(alone.stdout)
    assert 'text to video, query bank' in table[-1]
    both = run_test(project, two, '--launcher', 'pytorch', processes=2)
    assert both.returncode == 0, both.stderr[-2000:]
    assert table_of(both.stdout) == table
    with np.load(one / 'scores.npz') as first, np.load(two / 'scores.npz') as second:
        assert first['bank_similarity'].shape == (550, 7)
        for key in first:
            np.testing.assert_array_equal(first[key], second[key])

    analysis = ROOT / 'tools/analysis'
    again = run(analysis / 'eval_matrix.py', one / 'scores.npz', cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert table_of(again.stdout) == table

    command = (analysis / 'hard_examples.py', one / 'scores.npz', 'hard.html', '--videos', project)
    shown = run(*command, cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, '')
    assert (tmp_path / 'hard.html').read_text().count('<img') > 7


@pytest.mark.slow
def test_bank_that_does_not_exist_stops_before_the_test(project, tmp_path):
    result = run_test(project, tmp_path, ann_file='nothing.json')
    assert result.returncode != 0
    assert 'nothing.json does not exist' in result.stderr
    assert 'Epoch(test)' not in result.stdout + result.stderr
