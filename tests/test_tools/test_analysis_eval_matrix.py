"""tools/analysis/eval_matrix.py from the command line."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from ts2net_mm.evaluation import SinkhornOptions, measure_similarity, save_similarity

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(0)
OWNERS = np.repeat(np.arange(8), 3)
LOGITS = (RNG.normal(0, 10, (24, 8)) + 12 * (OWNERS[:, None] == np.arange(8))).astype(np.float32)
BANK = RNG.normal(0, 10, (40, 8)).astype(np.float32)
NAMES = [f'{video}.mp4' for video in range(8)]


@pytest.fixture
def matrix(tmp_path):
    """Write a matrix file; returns its path."""

    def write(name='scores.npz', **arrays):
        content = dict(similarity=LOGITS, video_of_text=OWNERS, video_ids=NAMES)
        content |= dict(captions=[f'text {text}' for text in range(24)], logit_scale=50.0)
        save_similarity(tmp_path / name, **(content | arrays))
        return str(tmp_path / name)

    return write


@pytest.fixture
def run(load_tool, capsys):
    """Run the tool; returns exit code, stdout, stderr."""
    main = load_tool('analysis/eval_matrix.py').main
    return lambda *args: (main([str(arg) for arg in args]), *capsys.readouterr())


def test_what_needs_no_bank(run, matrix, tmp_path):
    code, out, err = run(matrix(), '--json', tmp_path / 'new' / 'metrics.json')
    assert (code, err) == (0, '')
    assert out.splitlines()[0] == '24 texts, 8 videos, no query bank'
    settings = dict(sinkhorn=SinkhornOptions(), logit_scale=50.0)
    expected = measure_similarity(LOGITS, OWNERS, inverted_softmax=True, **settings)
    assert json.loads((tmp_path / 'new' / 'metrics.json').read_text()) == expected
    assert os.listdir(tmp_path / 'new') == ['metrics.json']
    assert f'{expected["t2v/R1"]:.1f}' in out
    assert 'query bank' not in out.split('\n', 1)[1]


@pytest.mark.parametrize('place', ['in the file', 'in another file'])
def test_settings_of_the_normalisations(run, matrix, tmp_path, place):
    args = ['--json', tmp_path / 'm.json', '--topk', '2', '--inverse-temperature', '7.5']
    args += ['--sinkhorn-iterations', '3', '--sinkhorn-inverse-temperature', '30']
    if place == 'in the file':
        args = [matrix(bank_similarity=BANK), *args]
    else:
        bank = matrix('bank.npz', bank_similarity=BANK)
        args = [matrix(bank_similarity=BANK[:3]), '--bank', bank, *args]
    code, out, _ = run(*args)
    assert code == 0
    assert out.splitlines()[0] == '24 texts, 8 videos, 40 queries in the bank'
    assert 'text to video, query bank' in out
    assert 'text to video, Sinkhorn of a query bank' in out
    settings = dict(bank_logits=BANK, logit_scale=50.0, inverse_temperature=7.5, topk=2)
    settings |= dict(sinkhorn=SinkhornOptions(inverse_temperature=30.0, num_iterations=3))
    expected = measure_similarity(LOGITS, OWNERS, inverted_softmax=True, **settings)
    assert json.loads((tmp_path / 'm.json').read_text()) == expected


def test_scale_from_the_command_line(run, matrix, tmp_path):
    path = matrix(logit_scale=None)
    assert run(path)[0] == 1
    path = matrix(bank_similarity=BANK, logit_scale=None)
    assert run(path) == (1, '', f'error: {path} holds no logit_scale: give --logit-scale\n')
    assert run(path, '--logit-scale', '50', '--json', tmp_path / 'a.json')[0] == 0
    assert run(matrix(bank_similarity=BANK), '--json', tmp_path / 'b.json')[0] == 0
    assert (tmp_path / 'a.json').read_text() == (tmp_path / 'b.json').read_text()


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['nowhere.npz'], 'similarity file nowhere.npz does not exist'),
        ([__file__], 'is not an .npz that can be read without pickle'),
        (
            ['MATRIX', '--bank', 'NO BANK'],
            "lacks the arrays ['bank_similarity'], found ['captions'",
        ),
        (['MATRIX', '--topk', '9'], 'topk=9 exceeds the 8 videos'),
        (['MATRIX', '--json', ROOT], 'is a folder, expected a file name'),
    ],
)
def test_errors_are_one_line(run, matrix, args, message):
    paths = {'MATRIX': matrix(bank_similarity=BANK), 'NO BANK': matrix('no_bank.npz')}
    code, _, err = run(*[paths.get(arg, arg) for arg in args])
    assert code == 1
    assert err.startswith('error: ')
    assert message in err
    assert err.count('\n') == 1
