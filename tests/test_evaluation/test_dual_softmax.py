"""Inverted softmax: values against loops, and what it changes."""

import math

import numpy as np
import pytest
import torch

from ts2net_mm.evaluation import inverted_softmax, retrieval_metrics, scores


def loop_weighting(similarity: np.ndarray, direction: str) -> np.ndarray:
    """Weight entry by entry."""
    result = np.empty_like(similarity)
    for text, video in np.ndindex(*similarity.shape):
        rivals = similarity[:, video] if direction == 't2v' else similarity[text]
        value = similarity[text, video]
        result[text, video] = value / sum(math.exp(rival - value) for rival in rivals)
    return result


@pytest.mark.parametrize('block', [1, 7, 2**22])
@pytest.mark.parametrize('direction', ['t2v', 'v2t'])
def test_equals_loop(monkeypatch, block, direction):
    monkeypatch.setattr(scores, 'BLOCK_ELEMENTS', block)
    similarity = np.random.default_rng(0).normal(5, 4, (11, 6))
    result = inverted_softmax(similarity, direction)
    np.testing.assert_allclose(result, loop_weighting(similarity, direction), rtol=1e-12)


def test_directions_are_mirror_images():
    similarity = np.random.default_rng(1).normal(5, 4, (5, 8)).astype(np.float32)
    np.testing.assert_array_equal(
        inverted_softmax(similarity, 'v2t'), inverted_softmax(similarity.T, 't2v').T
    )


@pytest.mark.parametrize(
    ('given', 'returned'),
    [('float16', 'float32'), ('float32', 'float32'), ('float64', 'float64'), ('int64', 'float64')],
)
def test_float_type(given, returned):
    similarity = np.arange(6).reshape(2, 3).astype(given)
    assert inverted_softmax(similarity).dtype == returned
    assert inverted_softmax(torch.from_numpy(similarity)).dtype == returned


@pytest.mark.parametrize('direction', ['t2v', 'v2t'])
def test_large_logits_neither_overflow_nor_vanish(direction):
    similarity = np.float32(1000) * np.eye(3, dtype=np.float32) + 1000
    result = inverted_softmax(similarity, direction)
    np.testing.assert_allclose(np.diag(result), 2000, rtol=1e-6)
    assert np.isfinite(result).all()


def test_takes_away_from_a_video_that_attracts_every_text():
    similarity = np.array([[9.0, 1.0, 2.0], [5.0, 4.0, 2.0], [6.0, 1.0, 5.0]])
    owners = [0, 1, 2]
    assert retrieval_metrics(similarity, owners)['t2v/R1'] == pytest.approx(100 / 3)
    assert retrieval_metrics(inverted_softmax(similarity, 't2v'), owners)['t2v/R1'] == 100.0


def test_takes_away_from_a_caption_that_attracts_every_video():
    similarity = np.array([[9.0, 5.0, 6.0], [1.0, 4.0, 1.0], [2.0, 2.0, 5.0]])
    owners = [0, 1, 2]
    assert retrieval_metrics(similarity, owners)['v2t/R1'] == pytest.approx(100 / 3)
    assert retrieval_metrics(inverted_softmax(similarity, 'v2t'), owners)['v2t/R1'] == 100.0


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


def test_unknown_direction():
    with pytest.raises(ValueError, match=r"direction must be one of .* got 'text'"):
        inverted_softmax(np.eye(2), 'text')


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(value):
    similarity = np.zeros((3, 3))
    similarity[1, 2] = value
    with pytest.raises(ValueError, match='1 NaN or infinite .* first at text 1, video 2'):
        inverted_softmax(similarity)


def test_what_is_not_a_matrix():
    with pytest.raises(ValueError, match=r'got the shape \(4,\)'):
        inverted_softmax(np.zeros(4))
