"""Sinkhorn normalisation: against a dense loop, its sums, single queries, and what it rejects."""

import numpy as np
import pytest
import torch

from ts2net_mm.evaluation import (
    SinkhornOptions,
    ranking,
    retrieval_metrics,
    sinkhorn_bank_scores,
    sinkhorn_potentials,
    sinkhorn_scores,
)
from ts2net_mm.evaluation.sinkhorn import Sinkhorn

SHAPES = [(11, 6), (6, 11), (8, 8)]


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def draw_with_a_hub(rows: int, seed: int) -> np.ndarray:
    """The first texts each have a video, and video 7 attracts all."""
    noise = np.random.default_rng(seed).normal(0, 0.05, (rows, 50))
    return noise + 0.3 * np.eye(rows, 50) + 0.3 * (np.arange(50) == 7)


def dense_shares(scores: np.ndarray, factor: float, iterations: int) -> np.ndarray:
    """The textbook algorithm on a matrix with queries as rows, in double precision."""
    shares = np.exp(factor * scores.astype(np.float64))
    for _ in range(iterations):
        shares = shares / shares.sum(axis=1, keepdims=True)
        shares = shares / shares.sum(axis=0) * len(shares) / shares.shape[1]
    return shares


@pytest.mark.parametrize('block', [1, 7, 25, 2**22])
@pytest.mark.parametrize('iterations', [1, 2, 10])
@pytest.mark.parametrize('shape', SHAPES)
def test_equals_the_dense_algorithm(monkeypatch, block, iterations, shape):
    monkeypatch.setattr(ranking, 'BLOCK_ELEMENTS', block)
    similarity = draw(*shape)
    for direction, queries in (('t2v', similarity), ('v2t', similarity.T)):
        found = sinkhorn_scores(
            similarity, direction, inverse_temperature=5.0, num_iterations=iterations
        )
        shares = dense_shares(queries, 5.0, iterations)
        expected = np.log(shares if direction == 't2v' else shares.T) / 5.0
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize('shape', SHAPES)
def test_defaults(shape):
    """A temperature of 0.01 for cosines, ten iterations."""
    similarity = 0.3 * draw(*shape)
    expected = np.log(dense_shares(similarity, 100.0, 10)) / 100.0
    np.testing.assert_allclose(sinkhorn_scores(similarity), expected, atol=1e-12)
    assert SinkhornOptions() == SinkhornOptions(inverse_temperature=100.0, num_iterations=10)


@pytest.mark.parametrize('direction', ['t2v', 'v2t'])
@pytest.mark.parametrize('shape', SHAPES)
def test_sums(shape, direction):
    """Candidates are exact after one iteration, and queries in the limit."""
    similarity = draw(*shape)
    queries, candidates = shape if direction == 't2v' else shape[::-1]
    over_queries, over_candidates = (0, 1) if direction == 't2v' else (1, 0)

    def sums(iterations):
        options = dict(inverse_temperature=3.0, num_iterations=iterations)
        shares = np.exp(3.0 * sinkhorn_scores(similarity, direction, **options))
        return shares.sum(axis=over_queries), shares.sum(axis=over_candidates)

    for iterations in (1, 200):
        np.testing.assert_allclose(sums(iterations)[0], queries / candidates, rtol=1e-12)
    np.testing.assert_allclose(sums(200)[1], 1, rtol=1e-12)
    assert np.abs(sums(1)[1] - 1).max() > 0.01


def test_both_directions_have_the_same_limit():
    similarity = draw(9, 6)
    options = dict(inverse_temperature=3.0, num_iterations=200)
    text, video = (sinkhorn_scores(similarity, way, **options) for way in ('t2v', 'v2t'))
    np.testing.assert_allclose(text - video, np.log(9 / 6) / 3.0, atol=1e-12)


@pytest.mark.parametrize('iterations', [1, 5])
def test_bank_equals_the_dense_algorithm(iterations):
    similarity, bank = draw(5, 7), draw(40, 7, seed=1)
    options = dict(inverse_temperature=4.0, num_iterations=iterations)
    shares = dense_shares(bank, 4.0, iterations)
    # the bank's shares are exp(b * (s - its query - its video))
    logs = bank - np.log(shares) / 4.0
    videos = logs[0] - sinkhorn_potentials(bank, **options)[0][0]
    found = sinkhorn_bank_scores(similarity, bank, **options)
    np.testing.assert_allclose(found, similarity - videos, atol=1e-12)
    differences = np.diff(found - similarity, axis=1)
    np.testing.assert_allclose(differences, np.tile(-np.diff(logs[0]), (5, 1)), atol=1e-12)
    np.testing.assert_allclose(sinkhorn_potentials(bank, **options)[1], videos, atol=1e-12)


def test_potentials_are_plain_arrays_that_explain_the_scores():
    similarity = draw(9, 5).astype(np.float32)
    texts, videos = sinkhorn_potentials(similarity)
    assert (texts.shape, videos.shape) == ((9,), (5,))
    assert type(texts) is type(videos) is np.ndarray
    assert texts.dtype == videos.dtype == np.float64
    found = sinkhorn_scores(similarity)
    np.testing.assert_allclose(found, similarity - texts[:, None] - videos, atol=1e-6)
    bank = sinkhorn_bank_scores(similarity, similarity)
    np.testing.assert_array_equal(bank, (similarity - videos).astype(np.float32))


def test_a_single_query_does_not_see_the_others():
    similarity, bank = draw(30, 12), draw(50, 12, seed=1)
    together = sinkhorn_bank_scores(similarity, bank)
    for text in range(30):
        alone = sinkhorn_bank_scores(similarity[text : text + 1], bank)
        np.testing.assert_array_equal(alone[0], together[text])
    others = sinkhorn_scores(similarity[:1]), sinkhorn_scores(similarity)[:1]
    assert np.abs(np.diff(others[0]) - np.diff(others[1])).max() > 0.01  # without a bank it does


@pytest.mark.parametrize('direction', ['t2v', 'v2t'])
@pytest.mark.parametrize('shape', [(40, 9), (9, 40)])
def test_tiles_equal_the_whole(direction, shape):
    similarity = draw(*shape).astype(np.float32)
    tiles = Sinkhorn(similarity, direction, inverse_temperature=20.0, num_iterations=3)
    whole = torch.from_numpy(tiles.whole())
    rows = torch.randperm(shape[0])[:5]
    assert torch.equal(tiles(rows, slice(2, 7)), whole[rows, 2:7])
    assert torch.equal(tiles(slice(1, 4), slice(0, 1)), whole[1:4, :1])


def test_demotes_a_hub_in_both_directions():
    similarity, owners = draw_with_a_hub(50, seed=0), np.arange(50)
    for way, matrix in (('t2v', similarity), ('v2t', similarity.T)):
        assert retrieval_metrics(matrix, owners)[f'{way}/R1'] < 60
        assert retrieval_metrics(sinkhorn_scores(matrix, way), owners)[f'{way}/R1'] == 100.0


def test_a_bank_demotes_a_hub():
    similarity, bank = draw_with_a_hub(50, seed=0), draw_with_a_hub(80, seed=1)
    assert retrieval_metrics(similarity, np.arange(50))['t2v/R1'] < 60
    normalised = sinkhorn_bank_scores(similarity, bank, inverse_temperature=20.0)
    assert retrieval_metrics(normalised, np.arange(50))['t2v/R1'] == 100.0
    videos = sinkhorn_potentials(bank, inverse_temperature=20.0)[1]
    assert videos[7] - np.median(videos) == pytest.approx(0.3, abs=0.1)


def test_balances_where_one_step_does_not():
    """Three texts want video 0, and two of them have a second choice."""
    similarity = np.array([[0.50, 0.48, 0.10], [0.52, 0.10, 0.47], [0.46, 0.10, 0.10]])
    owners = np.array([1, 2, 0])
    once = sinkhorn_scores(similarity, inverse_temperature=10.0, num_iterations=1)
    often = sinkhorn_scores(similarity, inverse_temperature=10.0, num_iterations=100)
    queries = [np.exp(10.0 * matrix).sum(axis=1) for matrix in (once, often)]
    assert np.ptp(queries[0]) > 0.1 > 1e-6 > np.ptp(queries[1])
    assert retrieval_metrics(often, owners)['t2v/R1'] == 100.0


def test_several_captions_a_video():
    owners = np.repeat(np.arange(6), [1, 4, 2, 3, 5, 1])
    noise = np.random.default_rng(0).normal(0, 0.05, (16, 6))
    similarity = noise + 0.4 * (owners[:, None] == np.arange(6))
    similarity[:, 2] += 0.35
    assert retrieval_metrics(similarity, owners)['t2v/R1'] < 100.0
    for way in ('t2v', 'v2t'):
        normalised = sinkhorn_scores(similarity, way, inverse_temperature=10.0)
        assert retrieval_metrics(normalised, owners)[f'{way}/R1'] == 100.0


@pytest.mark.parametrize('direction', ['t2v', 'v2t'])
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_extreme_scores(dtype, direction):
    """A video far below the others, a text far above: all finite, and sums as ever."""
    similarity = draw(7, 5).astype(dtype)
    similarity[:, 3] -= 1e5
    similarity[2] += 1e5
    found = sinkhorn_scores(similarity, direction, inverse_temperature=100.0)
    assert np.isfinite(found).all()
    assert found.dtype == dtype
    if dtype == np.float64:
        similarity[:, 3] += 1e5
        similarity[2] -= 1e5
        near = sinkhorn_scores(similarity, direction, inverse_temperature=100.0, num_iterations=300)
        far = sinkhorn_scores(
            similarity - 1e5 * (np.arange(5) == 3),
            direction,
            inverse_temperature=100.0,
            num_iterations=300,
        )
        np.testing.assert_allclose(far, near, atol=1e-6)


def test_equal_videos_and_equal_texts_stay_equal():
    similarity = draw(37, 23).astype(np.float32)
    similarity[:, 21] = similarity[:, 4]
    similarity[35] = similarity[2]
    for way in ('t2v', 'v2t'):
        found = sinkhorn_scores(similarity, way)
        np.testing.assert_array_equal(found[:, 21], found[:, 4])
        np.testing.assert_array_equal(found[35], found[2])


def test_logits_need_the_temperature_of_their_scale():
    cosines, bank = draw(9, 5), draw(20, 5, seed=1)
    settings = SinkhornOptions(inverse_temperature=20.0, num_iterations=3).for_logits(50.0)
    assert settings == dict(inverse_temperature=0.4, num_iterations=3)
    plain = sinkhorn_bank_scores(cosines, bank, inverse_temperature=20.0, num_iterations=3)
    np.testing.assert_allclose(
        sinkhorn_bank_scores(50 * cosines, 50 * bank, **settings), 50 * plain, atol=1e-10
    )


@pytest.mark.parametrize('form', ['test', 'bank'])
@pytest.mark.parametrize(
    ('given', 'returned'),
    [('float16', 'float32'), ('float32', 'float32'), ('float64', 'float64'), ('int64', 'float64')],
)
def test_float_type(form, given, returned):
    similarity = np.arange(6).reshape(2, 3).astype(given)
    normalise = {'test': sinkhorn_scores, 'bank': sinkhorn_bank_scores}[form]
    bank = (np.ones((4, 3)),) if form == 'bank' else ()
    assert normalise(similarity, *bank).dtype == returned
    assert normalise(*map(torch.from_numpy, (similarity, *bank))).dtype == returned


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(value):
    good, bad = np.zeros((3, 3)), np.zeros((3, 3))
    bad[1, 2] = value
    message = 'has 1 NaN or infinite .* text 1, video 2'
    with pytest.raises(ValueError, match=f'^similarity {message}'):
        sinkhorn_scores(bad)
    with pytest.raises(ValueError, match=f'^similarity {message}'):
        sinkhorn_bank_scores(bad, good)
    with pytest.raises(ValueError, match=f'^bank_similarity {message}'):
        sinkhorn_bank_scores(good, bad)
    with pytest.raises(ValueError, match=f'^scores {message}'):
        sinkhorn_potentials(bad)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(num_iterations=0), 'num_iterations=0 must be a whole number of at least 1'),
        (dict(num_iterations=2.0), 'num_iterations=2.0 must be a whole number'),
        (dict(num_iterations=True), 'num_iterations=True must be a whole number'),
        (dict(inverse_temperature=0), 'inverse_temperature=0 must be a positive number'),
        (dict(inverse_temperature=np.inf), 'inverse_temperature=inf must be'),
        (dict(inverse_temperature='1'), "inverse_temperature='1' must be"),
    ],
)
def test_settings_out_of_range(settings, message):
    matrix = np.zeros((3, 3))
    for call in (
        lambda: sinkhorn_scores(matrix, **settings),
        lambda: sinkhorn_bank_scores(matrix, matrix, **settings),
        lambda: sinkhorn_potentials(matrix, **settings),
    ):
        with pytest.raises(ValueError, match=f'^{message}'):
            call()
    with pytest.raises(ValueError, match=f'^sinkhorn: {message}'):
        SinkhornOptions.from_config(settings)


def test_settings_of_a_config():
    assert SinkhornOptions.from_config(False) is None
    assert SinkhornOptions.from_config(True) == SinkhornOptions.from_config({}) == SinkhornOptions()
    assert SinkhornOptions.from_config(dict(num_iterations=3)).num_iterations == 3
    with pytest.raises(ValueError, match=r'^sinkhorn=10 must be True, False or a dict'):
        SinkhornOptions.from_config(10)
    with pytest.raises(ValueError, match=r"unknown settings \['topk'\], it takes \['inverse_temp"):
        SinkhornOptions.from_config(dict(topk=1))


def test_other_bad_input():
    with pytest.raises(ValueError, match=r"direction must be one of .* got 'text'"):
        sinkhorn_scores(np.eye(2), 'text')
    with pytest.raises(ValueError, match='bank_similarity has 4 videos, but similarity 3'):
        sinkhorn_bank_scores(np.zeros((5, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r'scores must be .* got the shape \(3,\)'):
        sinkhorn_potentials(np.zeros(3))
