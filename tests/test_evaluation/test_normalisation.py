"""Both normalisations: values against loops, what they change, and which input they reject."""

import math

import numpy as np
import pytest
import torch

from ts2net_mm.evaluation import (
    dynamic_inverted_softmax,
    inverted_softmax,
    ranking,
    retrieval_metrics,
)


def loop_weighting(similarity: np.ndarray, direction: str) -> np.ndarray:
    """Weight entry by entry."""
    result = np.empty_like(similarity)
    for text, video in np.ndindex(*similarity.shape):
        rivals = similarity[:, video] if direction == 't2v' else similarity[text]
        value = similarity[text, video]
        result[text, video] = value / sum(math.exp(rival - value) for rival in rivals)
    return result


def loop_hubs(bank: np.ndarray, topk: int) -> set[int]:
    """Videos that fewer than topk others beat for some query."""
    return {
        video
        for query, video in np.ndindex(*bank.shape)
        if sum(score > bank[query, video] for score in bank[query]) < topk
    }


def loop_quotients(similarity, bank, inverse_temperature, topk):
    """The formula as it is printed: rows whose best video is a hub become quotients."""
    hubs = loop_hubs(bank, topk)
    result, is_normalised = similarity.copy(), []
    for text, row in enumerate(similarity):
        best = {video for video, score in enumerate(row) if score == max(row)}
        is_normalised.append(bool(best & hubs))
        if is_normalised[-1]:
            for video, score in enumerate(row):
                total = sum(math.exp(inverse_temperature * query[video]) for query in bank)
                result[text, video] = math.exp(inverse_temperature * score) / total
    return result, np.array(is_normalised)


@pytest.mark.parametrize('block', [1, 7, 2**22])
@pytest.mark.parametrize('direction', ['t2v', 'v2t'])
def test_inverted_softmax_equals_loop(monkeypatch, block, direction):
    monkeypatch.setattr(ranking, 'BLOCK_ELEMENTS', block)
    similarity = np.random.default_rng(0).normal(5, 4, (11, 6))
    result = inverted_softmax(similarity, direction)
    np.testing.assert_allclose(result, loop_weighting(similarity, direction), rtol=1e-12)


@pytest.mark.parametrize('block', [1, 7, 2**22])
@pytest.mark.parametrize('topk', [1, 3, 9])
@pytest.mark.parametrize('queries', [1, 4, 30])
def test_query_bank_equals_loop(monkeypatch, block, topk, queries):
    monkeypatch.setattr(ranking, 'BLOCK_ELEMENTS', block)
    rng = np.random.default_rng(queries)
    similarity, bank = rng.uniform(-1, 1, (21, 9)), rng.uniform(-1, 1, (queries, 9))
    result = dynamic_inverted_softmax(similarity, bank, inverse_temperature=5.0, topk=topk)
    expected, is_normalised = loop_quotients(similarity, bank, 5.0, topk)
    np.testing.assert_array_equal(result[~is_normalised], similarity[~is_normalised])
    np.testing.assert_allclose(
        np.exp(5.0 * result[is_normalised]), expected[is_normalised], rtol=1e-12
    )
    np.testing.assert_array_equal(result.argsort(axis=1), expected.argsort(axis=1))
    assert is_normalised.any()
    assert is_normalised.all() == (topk == 9 or queries == 30)


@pytest.mark.parametrize('normalise', [inverted_softmax, dynamic_inverted_softmax])
@pytest.mark.parametrize(
    ('given', 'returned'),
    [('float16', 'float32'), ('float32', 'float32'), ('float64', 'float64'), ('int64', 'float64')],
)
def test_float_type(normalise, given, returned):
    similarity = np.arange(6).reshape(2, 3).astype(given)
    bank = () if normalise is inverted_softmax else (np.ones((4, 3)),)
    assert normalise(similarity, *bank).dtype == returned
    assert normalise(*map(torch.from_numpy, (similarity, *bank))).dtype == returned


@pytest.mark.parametrize('direction', ['t2v', 'v2t'])
def test_large_logits_neither_overflow_nor_vanish(direction):
    similarity = np.float32(1000) * np.eye(3, dtype=np.float32) + 1000
    result = inverted_softmax(similarity, direction)
    np.testing.assert_allclose(np.diag(result), 2000, rtol=1e-6)
    assert np.isfinite(result).all()


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_large_scores_with_a_bank_neither_overflow_nor_vanish(dtype):
    similarity = (1000 * np.eye(3) + 1000).astype(dtype)
    result = dynamic_inverted_softmax(similarity, similarity, inverse_temperature=20.0)
    assert np.isfinite(result).all()
    np.testing.assert_allclose(np.diag(result), 0, atol=1e-3)
    assert result[0, 1] == pytest.approx(-1000)
    far = dynamic_inverted_softmax(-similarity, similarity - 1e6, inverse_temperature=20.0)
    assert np.isfinite(far).all()
    assert len(np.unique(far[0])) == 2  # as quotients in single precision all would be infinite


def test_inverted_softmax_demotes_a_hub():
    similarity = np.array([[9.0, 1.0, 2.0], [5.0, 4.0, 2.0], [6.0, 1.0, 5.0]])
    owners = [0, 1, 2]
    for way, matrix in (('t2v', similarity), ('v2t', similarity.T)):
        assert retrieval_metrics(matrix, owners)[f'{way}/R1'] == pytest.approx(100 / 3)
        assert retrieval_metrics(inverted_softmax(matrix, way), owners)[f'{way}/R1'] == 100.0


@pytest.mark.parametrize('direction', ['t2v', 'v2t'])
def test_normalising_over_candidates_would_change_no_rank(direction):
    """The weights of the other direction keep the order within a query: do not mix them up."""
    similarity = np.random.default_rng(2).normal(20, 5, (9, 9))
    other = {'t2v': 'v2t', 'v2t': 't2v'}[direction]
    plain = retrieval_metrics(similarity, np.arange(9))
    weighted = retrieval_metrics(inverted_softmax(similarity, other), np.arange(9))
    for key in plain:
        if key.startswith(direction):
            assert weighted[key] == plain[key]


def test_query_bank_demotes_a_hub():
    rng = np.random.default_rng(0)
    similarity = rng.normal(0, 0.05, (50, 50)) + 0.3 * np.eye(50)
    bank = rng.normal(0, 0.05, (200, 50))
    for matrix in (similarity, bank):
        matrix[:, 7] += 0.3
    assert retrieval_metrics(similarity, np.arange(50))['t2v/R1'] < 60
    normalised = dynamic_inverted_softmax(similarity, bank)
    assert retrieval_metrics(normalised, np.arange(50))['t2v/R1'] == 100.0


def test_ties_count_as_the_best():
    similarity = np.array([[0.5, 0.5], [0.4, 0.6]])
    result = dynamic_inverted_softmax(similarity, np.array([[0.2, 0.1]]))
    np.testing.assert_allclose(result[0], [0.3, 0.4])
    np.testing.assert_array_equal(result[1], similarity[1])
    tied = dynamic_inverted_softmax(similarity, np.array([[0.2, 0.2]]))
    np.testing.assert_allclose(tied, similarity - 0.2)


def test_logits_need_the_temperature_of_their_scale():
    rng = np.random.default_rng(1)
    cosines, bank = rng.uniform(-1, 1, (9, 5)), rng.uniform(-1, 1, (20, 5))
    scaled = dynamic_inverted_softmax(100 * cosines, 100 * bank, inverse_temperature=0.2)
    plain = dynamic_inverted_softmax(cosines, bank, inverse_temperature=20.0)
    np.testing.assert_allclose(scaled, 100 * plain, atol=1e-10)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('name', ['similarity', 'bank_similarity'])
def test_values_that_are_not_finite(name, value):
    matrices = dict(similarity=np.zeros((3, 3)), bank_similarity=np.zeros((4, 3)))
    matrices[name][1, 2] = value
    with pytest.raises(ValueError, match=f'^{name} has 1 NaN or infinite .* text 1, video 2'):
        dynamic_inverted_softmax(**matrices)
    if name == 'similarity':
        with pytest.raises(ValueError, match='1 NaN or infinite .* first at text 1, video 2'):
            inverted_softmax(matrices[name])


@pytest.mark.parametrize(
    ('bank', 'options', 'message'),
    [
        (np.zeros(3), {}, r'bank_similarity must be \(texts, videos\), got the shape \(3,\)'),
        (np.zeros((0, 3)), {}, 'bank_similarity has no texts'),
        (np.zeros((2, 4)), {}, 'bank_similarity has 4 videos, but similarity 3'),
        (np.zeros((2, 3)), dict(topk=0), 'topk=0 must be a whole number of at least 1'),
        (np.zeros((2, 3)), dict(topk=True), 'topk=True must be a whole number'),
        (np.zeros((2, 3)), dict(topk=4), 'topk=4 exceeds the 3 videos'),
        (np.zeros((2, 3)), dict(inverse_temperature=np.nan), 'inverse_temperature=nan must be'),
        (np.zeros((2, 3)), dict(inverse_temperature='1'), "inverse_temperature='1' must be"),
    ],
)
def test_bad_bank_or_settings(bank, options, message):
    with pytest.raises(ValueError, match=message):
        dynamic_inverted_softmax(np.zeros((5, 3)), bank, **options)


def test_bad_input_of_inverted_softmax():
    with pytest.raises(ValueError, match=r"direction must be one of .* got 'text'"):
        inverted_softmax(np.eye(2), 'text')
    with pytest.raises(ValueError, match=r'got the shape \(4,\)'):
        inverted_softmax(np.zeros(4))
