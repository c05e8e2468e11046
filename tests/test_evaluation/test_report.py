"""Plain and normalised metrics together, and their table."""

import numpy as np
import pytest

from ts2net_mm.evaluation import (
    SinkhornOptions,
    dynamic_inverted_softmax,
    format_table,
    inverted_softmax,
    measure_similarity,
    retrieval_metrics,
    sinkhorn_bank_scores,
    sinkhorn_scores,
    tiles,
)

RNG = np.random.default_rng(0)
OWNERS = np.repeat(np.arange(10), 3)
LOGITS = RNG.normal(0, 10, (30, 10)) + 15 * (OWNERS[:, None] == np.arange(10))
BANK = RNG.normal(0, 10, (50, 10))


@pytest.mark.parametrize('tile', [1, 20, 2**20])
@pytest.mark.parametrize('is_sorted', [True, False])
def test_every_row_comes_from_its_own_normalisation(monkeypatch, tile, is_sorted):
    monkeypatch.setattr(tiles, 'TILE_ELEMENTS', tile)
    order = np.arange(30) if is_sorted else np.random.default_rng(1).permutation(30)
    metrics = measure_similarity(
        LOGITS[order],
        OWNERS[order],
        inverted_softmax=True,
        sinkhorn=SinkhornOptions(inverse_temperature=8.0, num_iterations=2),
        bank_logits=BANK,
        logit_scale=50.0,
        inverse_temperature=10.0,
        topk=2,
    )
    settings = dict(inverse_temperature=8.0, num_iterations=2)
    matrices = dict(
        t2v=LOGITS,
        v2t=LOGITS,
        t2v_dsl=inverted_softmax(LOGITS, 't2v'),
        v2t_dsl=inverted_softmax(LOGITS, 'v2t'),
        t2v_sinkhorn=sinkhorn_scores(LOGITS / 50, 't2v', **settings),
        v2t_sinkhorn=sinkhorn_scores(LOGITS / 50, 'v2t', **settings),
        t2v_qb=dynamic_inverted_softmax(LOGITS / 50, BANK / 50, inverse_temperature=10.0, topk=2),
        t2v_qb_sinkhorn=sinkhorn_bank_scores(LOGITS / 50, BANK / 50, **settings),
    )
    names = ('R1', 'R5', 'R10', 'R50', 'MdR', 'MnR')
    assert list(metrics) == [f'{row}/{name}' for row in matrices for name in names]
    for row, matrix in matrices.items():
        expected = retrieval_metrics(matrix, OWNERS)
        assert all(metrics[f'{row}/{name}'] == expected[f'{row[:3]}/{name}'] for name in names)
    for direction in ('t2v', 'v2t'):  # otherwise a mix-up would not show
        rows = [row for row in matrices if row.startswith(direction)]
        assert len({metrics[f'{row}/MnR'] for row in rows}) == len(rows)


def cells(line: str) -> list[str]:
    """Split a line at its bars."""
    return [cell.strip() for cell in line.strip('|').split('|')]


def test_table_is_plain_text_in_any_environment(monkeypatch):
    monkeypatch.setenv('FORCE_COLOR', '1')
    monkeypatch.setenv('COLUMNS', '20')
    metrics = {'t2v/R1': 47.04, 't2v/R10': 100.0, 't2v/MdR': 1.5, 't2v/MnR': 12.96}
    metrics |= {'v2t/R5': 60.0, 'v2t/MdR': 2.0}
    lines = format_table(metrics).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [cells(line) for line in (lines[0], *lines[2:])] == [
        ['', 'R@1', 'R@5', 'R@10', 'MdR', 'MnR'],
        ['text to video', '47.0', '-', '100.0', '1.5', '13.0'],
        ['video to text', '-', '60.0', '-', '2.0', '-'],
    ]


def test_rows_have_an_order_of_their_own():
    rows = ('t2v_qb_sinkhorn', 't2v_qb', 'v2t_sinkhorn', 't2v_sinkhorn', 'v2t_dsl', 't2v_dsl')
    rows = (*rows, 'v2t', 't2v')
    lines = format_table({f'{row}/R1': 8.0 - i for i, row in enumerate(rows)}).splitlines()
    assert [cells(line)[1] for line in lines[2:]] == [f'{place}.0' for place in range(1, 9)]
    assert cells(lines[4])[0] == 'text to video, inverted softmax'
    assert cells(lines[6])[0] == 'text to video, Sinkhorn'
    assert cells(lines[8])[0] == 'text to video, query bank'
    assert cells(lines[9])[0] == 'text to video, Sinkhorn of a query bank'


def test_prefixes_and_lines_below():
    metrics = {'msrvtt/t2v/R1': 1.0, 'didemo/t2v/R1': 2.0, 'didemo/t2v/R5': 3.0}
    metrics |= {'t2v/reversal_acc': 93.26, 'didemo/t2v/reversal_acc': 4.0}
    metrics |= {'didemo/skipped/videos': 2.0, 'didemo/skipped/texts': 20.0}
    lines = format_table(metrics).splitlines()
    assert cells(lines[2]) == ['didemo: text to video', '2.0', '3.0']
    assert cells(lines[3]) == ['msrvtt: text to video', '1.0', '-']
    assert lines[4:] == [
        'reversal: the right video scores higher for 93.3 % of the texts',
        'didemo: reversal: the right video scores higher for 4.0 % of the texts',
        'didemo: skipped: 2 unreadable videos and their 20 texts',
    ]


def test_other_metrics_are_ignored():
    others = {'acc/top1': 1.0, 'data_time': 0.1, 't2v/R7': 1.0, 'retrieval/R1': 3.0}
    assert format_table(others) == ''
    assert format_table(others | {'t2v/R1': 2.0}) == format_table({'t2v/R1': 2.0})
