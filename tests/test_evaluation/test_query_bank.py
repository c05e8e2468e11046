"""Dynamic inverted softmax: values against loops, and what it refuses."""

import math

import numpy as np
import pytest
import torch

from ts2net_mm.evaluation import dynamic_inverted_softmax, retrieval_metrics, scores


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
@pytest.mark.parametrize('topk', [1, 3, 9])
@pytest.mark.parametrize('queries', [1, 4, 30])
def test_equals_loop(monkeypatch, block, topk, queries):
    monkeypatch.setattr(scores, 'BLOCK_ELEMENTS', block)
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


def test_only_texts_that_a_hub_attracts_are_normalised():
    similarity = np.array([[0.9, 0.8, 0.1], [0.1, 0.6, 0.5]])
    bank = np.array([[0.9, 0.1, 0.2], [0.8, 0.3, 0.2]])  # video 0 alone is ever the best
    result = dynamic_inverted_softmax(similarity, bank)
    assert result[0].argmax() == 1
    np.testing.assert_array_equal(result[1], similarity[1])
    np.testing.assert_array_equal(similarity[0], [0.9, 0.8, 0.1])  # the input stays


def test_removes_a_hub():
    rng = np.random.default_rng(0)
    similarity = rng.normal(0, 0.05, (50, 50)) + 0.3 * np.eye(50)
    bank = rng.normal(0, 0.05, (200, 50))
    for matrix in (similarity, bank):
        matrix[:, 7] += 0.3
    plain = retrieval_metrics(similarity, np.arange(50))['t2v/R1']
    normalised = dynamic_inverted_softmax(similarity, bank)
    assert plain < 60
    assert retrieval_metrics(normalised, np.arange(50))['t2v/R1'] == 100.0


def test_ties_count_as_the_best():
    similarity = np.array([[0.5, 0.5], [0.4, 0.6]])
    bank = np.array([[0.2, 0.1]])
    result = dynamic_inverted_softmax(similarity, bank)
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


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_large_scores_neither_overflow_nor_vanish(dtype):
    similarity = (1000 * np.eye(3) + 1000).astype(dtype)
    result = dynamic_inverted_softmax(similarity, similarity, inverse_temperature=20.0)
    assert np.isfinite(result).all()
    np.testing.assert_allclose(np.diag(result), 0, atol=1e-3)
    assert result[0, 1] == pytest.approx(-1000)
    far = dynamic_inverted_softmax(-similarity, similarity - 1e6, inverse_temperature=20.0)
    assert np.isfinite(far).all()
    assert len(np.unique(far[0])) == 2  # as quotients in single precision all would be infinite


@pytest.mark.parametrize(
    ('given', 'returned'),
    [('float16', 'float32'), ('float32', 'float32'), ('float64', 'float64'), ('int64', 'float64')],
)
def test_float_type(given, returned):
    similarity = np.arange(6).reshape(2, 3).astype(given)
    bank = np.ones((4, 3))
    assert dynamic_inverted_softmax(similarity, bank).dtype == returned
    tensors = torch.from_numpy(similarity), torch.from_numpy(bank)
    assert dynamic_inverted_softmax(*tensors).dtype == returned


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('name', ['similarity', 'bank_similarity'])
def test_values_that_are_not_finite(name, value):
    matrices = dict(similarity=np.zeros((3, 3)), bank_similarity=np.zeros((4, 3)))
    matrices[name][1, 2] = value
    with pytest.raises(ValueError, match=f'^{name} has 1 NaN or infinite .* text 1, video 2'):
        dynamic_inverted_softmax(**matrices)


@pytest.mark.parametrize(
    ('bank', 'options', 'message'),
    [
        (np.zeros(3), {}, r'bank_similarity must be \(texts, videos\), got the shape \(3,\)'),
        (np.zeros((0, 3)), {}, 'bank_similarity has no texts'),
        (np.zeros((3, 0)), {}, 'bank_similarity has no videos'),
        (np.array([['a']]), {}, 'bank_similarity must hold real numbers'),
        (np.zeros((2, 4)), {}, 'bank_similarity has 4 videos, but similarity 3'),
        (np.zeros((2, 3)), dict(topk=0), 'topk=0 must be a whole number of at least 1'),
        (np.zeros((2, 3)), dict(topk=1.5), 'topk=1.5 must be a whole number'),
        (np.zeros((2, 3)), dict(topk=True), 'topk=True must be a whole number'),
        (np.zeros((2, 3)), dict(topk=4), 'topk=4 exceeds the 3 videos'),
        (np.zeros((2, 3)), dict(inverse_temperature=0), 'inverse_temperature=0 must be a positive'),
        (np.zeros((2, 3)), dict(inverse_temperature=np.nan), 'inverse_temperature=nan must be'),
        (np.zeros((2, 3)), dict(inverse_temperature='1'), "inverse_temperature='1' must be"),
    ],
)
def test_bad_input(bank, options, message):
    with pytest.raises(ValueError, match=message):
        dynamic_inverted_softmax(np.zeros((5, 3)), bank, **options)
