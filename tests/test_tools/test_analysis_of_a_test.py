"""From a checkpoint to the analysis: tools/test.py with a query bank, then tools/analysis."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import CONFIG, make_project

from ts2net_mm.apis.inferencer import build_model, load_config

ROOT = Path(__file__).parents[2]
ANALYSIS = ROOT / 'tools/analysis'
# One video at a time: then the features do not depend on which videos a process gets.
TEST = """
test_dataloader = dict(loader, batch_size=1)
test_evaluator = dict(hard_negative=None, sinkhorn=True)
custom_hooks = [dict(type='StrictCheckpointHook'), dict(type='QueryBankHook')]
"""


@pytest.fixture(scope='module')
def project(tmp_path_factory) -> Path:
    """A folder with a config, random weights, seven videos and captions for a bank."""
    folder = tmp_path_factory.mktemp('project')
    make_project(folder, num_videos=7, config=CONFIG + TEST)
    annotations = json.loads((folder / 'all.json').read_text())
    for number, annotation in enumerate(annotations.values()):
        annotation['captions'] = [*annotation['captions'], 'x'][: 1 + number % 3]
    (folder / 'all.json').write_text(json.dumps(annotations))
    bank = {f'train{n}.mp4': [f'a bank sentence {n}', f'{n} is a number'] for n in range(300)}
    (folder / 'train.json').write_text(json.dumps(bank))
    torch.manual_seed(0)
    state_dict = {
        key: value if value.dim() == 0 else 0.2 * torch.randn_like(value)
        for key, value in build_model(load_config(folder / 'config.py')).state_dict().items()
    }
    torch.save(dict(state_dict=state_dict), folder / 'model.pth')
    return folder


def run(*command: object) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])]
    environment = os.environ | {'PYTHONPATH': os.pathsep.join(paths), 'OMP_NUM_THREADS': '1'}
    arguments = [sys.executable, *map(str, command)]
    return subprocess.run(arguments, capture_output=True, text=True, env=environment)


def run_test(
    project: Path, folder: Path, ann_file: str, launcher: str = 'none'
) -> subprocess.CompletedProcess[str]:
    start = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2']
    return run(
        *(start if launcher == 'pytorch' else ()),
        *(ROOT / 'tools/test.py', project / 'config.py', project / 'model.pth'),
        *('--work-dir', folder, '--dump', folder / 'scores.npz', '--launcher', launcher),
        '--cfg-options',
        f'test_evaluator.query_bank.ann_file={project / ann_file}',
        'test_evaluator.query_bank.num_queries=550',
    )


def table_of(result: subprocess.CompletedProcess[str]) -> list[str]:
    assert result.returncode == 0, result.stderr[-2000:]
    return [line for line in result.stdout.splitlines() if line.startswith('| ')]


@pytest.mark.slow
def test_two_processes_and_the_analysis_agree_with_the_test(project, tmp_path):
    alone, both = tmp_path / 'alone', tmp_path / 'both'
    table = table_of(run_test(project, alone, 'train.json'))
    assert 'text to video, Sinkhorn of a query bank' in table[-1]
    assert table_of(run_test(project, both, 'train.json', 'pytorch')) == table
    with np.load(alone / 'scores.npz') as first, np.load(both / 'scores.npz') as second:
        assert first['bank_similarity'].shape == (550, 7)
        for key in first:
            np.testing.assert_array_equal(first[key], second[key])

    scores, page = alone / 'scores.npz', tmp_path / 'hard.html'
    assert table_of(run(ANALYSIS / 'eval_matrix.py', scores)) == table
    shown = run(ANALYSIS / 'hard_examples.py', scores, page, '--videos', project)
    assert (shown.returncode, shown.stderr) == (0, '')
    assert page.read_text().count('<img') > 7


@pytest.mark.slow
def test_bank_that_does_not_exist_stops_before_the_test(project, tmp_path):
    result = run_test(project, tmp_path, 'nothing.json')
    assert result.returncode != 0
    assert 'nothing.json does not exist' in result.stderr
    assert 'Epoch(test)' not in result.stdout + result.stderr
