"""Plain and normalised metrics together."""

import numpy as np
import pytest

from ts2net_mm.evaluation import (
    dynamic_inverted_softmax,
    inverted_softmax,
    measure_similarity,
    retrieval_metrics,
)

RNG = np.random.default_rng(0)
OWNERS = np.repeat(np.arange(10), 3)
LOGITS = RNG.normal(0, 10, (30, 10)) + 15 * (OWNERS[:, None] == np.arange(10))
BANK = RNG.normal(0, 10, (50, 10))


def test_plain_alone():
    assert measure_similarity(LOGITS, OWNERS) == retrieval_metrics(LOGITS, OWNERS)


def test_every_row_comes_from_its_own_normalisation():
    metrics = measure_similarity(
        LOGITS,
        OWNERS,
        inverted_softmax=True,
        bank_logits=BANK,
        logit_scale=50.0,
        inverse_temperature=10.0,
        topk=2,
    )
    normalised = dynamic_inverted_softmax(LOGITS / 50, BANK / 50, inverse_temperature=10.0, topk=2)
    matrices = dict(
        t2v=LOGITS,
        v2t=LOGITS,
        t2v_dsl=inverted_softmax(LOGITS, 't2v'),
        v2t_dsl=inverted_softmax(LOGITS, 'v2t'),
        t2v_qb=normalised,
    )
    assert len(metrics) == 5 * 6
    for row, matrix in matrices.items():
        expected = retrieval_metrics(matrix, OWNERS)
        for name in ('R1', 'R5', 'R10', 'R50', 'MdR', 'MnR'):
            assert metrics[f'{row}/{name}'] == expected[f'{row[:3]}/{name}']
    mean_ranks = [metrics[f'{row}/MnR'] for row in ('t2v', 't2v_dsl', 't2v_qb')]
    assert len(set(mean_ranks)) == 3  # else a mix-up would not show


def test_bank_of_other_videos():
    with pytest.raises(ValueError, match='bank_similarity has 9 videos, but similarity 10'):
        measure_similarity(LOGITS, OWNERS, bank_logits=BANK[:, :9])
