"""Bounds on the scores of windows, against scores of random and adversarial frames."""

import numpy as np
import pytest
import torch

from ts2net_mm.models import (
    AverageSimilarity,
    BestFrameSimilarity,
    FrameWeightedSimilarity,
    MeanPooledSimilarity,
)
from ts2net_mm.search.bound import (
    AverageScore,
    BestFrameScore,
    FrameWeightedScore,
    MeanPooledScore,
    ScoredFrames,
    dot_error,
    score_from_settings,
    summarise,
)


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-300)


def random_frames(rng, n, frames, dims, spread):
    """Frames around a direction, of which one in four windows has a single frame far away."""
    x = unit(rng.standard_normal((n, 1, dims))) + spread * rng.standard_normal((n, frames, dims))
    x[::4, 1:] = x[::4, :1] + 1e-3 * x[::4, 1:]
    return unit(x)


def adversarial_queries(rng, x, num_frames):
    """Queries along a deviation, along the mean, across the mean, and random."""
    means = np.stack([frames[:n].mean(axis=0) for frames, n in zip(x, num_frames, strict=True)])
    deviation = x[:, 0] - means
    across = deviation - means * (deviation * means).sum(axis=1, keepdims=True) / np.maximum(
        (means**2).sum(axis=1, keepdims=True), 1e-30
    )
    choices = [deviation, means, across, rng.standard_normal(means.shape), -x[:, 0]]
    choices.append(across + 0.1 * rng.standard_normal() * means)
    return unit(choices[rng.integers(len(choices))] + 1e-12)


def weighted_scores(cosines, num_frames, temperature):
    """The definition, window by window and in double precision."""
    scores = np.empty(len(cosines))
    for count in np.unique(num_frames):
        rows = num_frames == count
        c = cosines[rows, :count]
        norms = np.maximum(np.sqrt((c * c).sum(axis=1, keepdims=True)), 1e-12)
        weights = np.exp(temperature * c / norms)
        scores[rows] = (weights * c).sum(axis=1) / weights.sum(axis=1)
    return scores


def check_bounds(rng, *, n, frames, dims, spread, temperature, dtype):
    x = random_frames(rng, n, frames, dims, spread).astype(dtype)
    num_frames = rng.integers(1, frames + 1, n).astype(np.uint16)
    means, summary = summarise(x, num_frames)
    x = x.astype(np.float64)
    q = adversarial_queries(rng, x, num_frames)
    scores = weighted_scores(np.einsum('nd,ntd->nt', q, x), num_frames, temperature)
    products = np.einsum('nd,nd->n', q.astype(np.float32), means)
    lower, upper = FrameWeightedScore(temperature).bounds(products, summary, dot_error(dims))
    assert np.all(lower <= scores)
    assert np.all(scores <= upper)
    check_excess(FrameWeightedScore(temperature), q, means, summary, scores)
    return n


def check_excess(score, queries, means, summary, scores):
    """The excess of bands holds for the products in them, that of the first for negative ones."""
    error = dot_error(means.shape[1])
    products = np.einsum('nd,nd->n', queries, means.astype(np.float64))
    edges = [0.0, 0.01, 0.1, 0.3, 0.7, 1.1]
    for low, high in zip(edges, edges[1:], strict=False):
        in_band = (products <= high) & ((products >= low) | (low == 0))
        excess = score.excess(low, high, summary)[in_band]
        assert np.all(scores[in_band] <= products[in_band] + excess + error)


@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
@pytest.mark.parametrize('temperature', [0.0, 1.0, 4.0, 30.0])
def test_scores_lie_between_their_bounds(dtype, temperature):
    rng = np.random.default_rng(0)
    for spread in (0.0, 1e-6, 1e-3, 0.1, 0.5, 3.0):
        for frames, dims in ((1, 3), (2, 2), (3, 8), (12, 16)):
            check_bounds(
                rng,
                n=500,
                frames=frames,
                dims=dims,
                spread=spread,
                temperature=temperature,
                dtype=dtype,
            )


@pytest.mark.slow
def test_bounds_of_millions_of_windows():
    rng = np.random.default_rng(1)
    total = 0
    while total < 3_000_000:
        total += check_bounds(
            rng,
            n=20_000,
            frames=int(rng.choice([1, 2, 3, 6, 12])),
            dims=int(rng.choice([2, 3, 8, 24])),
            spread=float(10 ** rng.uniform(-4, 1)),
            temperature=float(rng.choice([1.0, 4.0, 10.0])),
            dtype=rng.choice([np.float16, np.float32, np.float64]),
        )


def test_climbing_towards_the_bound_does_not_pass_it():
    """Frames and query are moved to raise score minus bound, with few dimensions."""
    torch.manual_seed(0)
    frames = torch.randn(64, 4, 3, dtype=torch.float64, requires_grad=True)
    query = torch.randn(64, 3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([frames, query], lr=0.02)
    for _ in range(300):
        x, q = torch.nn.functional.normalize(frames, dim=-1), torch.nn.functional.normalize(query)
        c = torch.einsum('nd,ntd->nt', q, x)
        score = (torch.softmax(4 * c / c.norm(dim=1, keepdim=True), dim=1) * c).sum(dim=1)
        means, summary = summarise(x.detach().numpy(), np.full(64, 4))
        products = (q.detach().numpy() * means).sum(axis=1).astype(np.float32)
        _, upper = FrameWeightedScore().bounds(products, summary, 0.0)
        assert np.all(score.detach().numpy() <= upper + dot_error(3))
        mean = x.mean(dim=1)
        deviation = (x - mean[:, None]).norm(dim=-1).max(dim=1).values
        loss = -((score - (q * mean).sum(dim=1)) / deviation).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def best_scores(cosines, num_frames):
    return np.array([row[:count].max() for row, count in zip(cosines, num_frames, strict=True)])


@pytest.mark.parametrize('spread', [0.0, 1e-3, 0.1, 0.5, 3.0])
@pytest.mark.parametrize(('frames', 'dims'), [(1, 3), (2, 2), (3, 8), (12, 16)])
def test_best_frame_and_average_lie_between_their_bounds(spread, frames, dims):
    rng = np.random.default_rng(5)
    x = random_frames(rng, 2000, frames, dims, spread).astype(np.float32)
    num_frames = rng.integers(1, frames + 1, 2000)
    means, summary = summarise(x, num_frames)
    q = adversarial_queries(rng, x.astype(np.float64), num_frames)
    cosines = np.einsum('nd,ntd->nt', q, x.astype(np.float64))
    best = best_scores(cosines, num_frames)
    average = (best + weighted_scores(cosines, num_frames, 4.0)) / 2
    products = np.einsum('nd,nd->n', q.astype(np.float32), means)
    both = AverageScore((BestFrameScore(), FrameWeightedScore(4.0)))
    for score, exact in ((BestFrameScore(), best), (both, average)):
        lower, upper = score.bounds(products, summary, dot_error(dims))
        assert np.all((lower <= exact) & (exact <= upper))
        check_excess(score, q, means, summary, exact)


class Tight:
    """A score whose bounds are itself."""

    def __init__(self, scores):
        self.scores = scores

    def bounds(self, products, summary, error):
        return self.scores, self.scores

    def excess(self, low, high, summary):
        return self.scores


@pytest.mark.parametrize('number', [2, 3, 7])
def test_the_rounding_of_an_average_is_part_of_its_bounds(number):
    parts = np.random.default_rng(6).uniform(-1, 1, (number, 1000)).astype(np.float32)
    exact = parts.astype(np.float64).mean(axis=0)
    score = AverageScore(tuple(map(Tight, parts)))
    lower, upper = score.bounds(None, None, 0.0)
    assert np.all((lower <= exact) & (exact <= upper))
    assert np.all(score.excess(0.0, 1.0, None) >= exact)
    assert (upper - lower).max() < 1e-4


def test_the_bound_of_the_best_frame_is_reached():
    """One frame leaves the others along the query."""
    frames = unit(np.array([[[0.6, 0.8], [0.6, -0.8], [0.6, -0.8]]]))
    means, summary = summarise(frames.astype(np.float32), np.array([3]))
    q = np.array([0.0, 1.0])
    _, upper = BestFrameScore().bounds((means @ q).astype(np.float32), summary, 0.0)
    assert upper == pytest.approx([0.8], abs=1e-4)


def test_the_excess_of_mean_pooled_scores():
    rng = np.random.default_rng(3)
    x = random_frames(rng, 2000, 6, 8, 1.0).astype(np.float32)
    means, summary = summarise(x, np.full(2000, 6))
    q = adversarial_queries(rng, x.astype(np.float64), np.full(2000, 6))
    exact = means / np.linalg.norm(means.astype(np.float64), axis=1, keepdims=True)
    check_excess(MeanPooledScore(), q, means, summary, np.einsum('nd,nd->n', q, exact))


def test_scores_are_those_of_the_registered_similarities():
    rng = np.random.default_rng(2)
    x = random_frames(rng, 40, 6, 16, 0.3).astype(np.float32)
    num_frames = rng.integers(1, 7, 40)
    q = unit(rng.standard_normal((5, 16))).astype(np.float32)
    mask = torch.from_numpy(np.arange(6) < num_frames[:, None])
    lengths, norms = np.ones((40, 6)), summarise(x, num_frames)[1].mean_norm
    average = [
        dict(type='FrameWeightedSimilarity', temperature=16),
        dict(type='BestFrameSimilarity'),
    ]
    for similarity in (
        FrameWeightedSimilarity(),
        FrameWeightedSimilarity(temperature=16),
        MeanPooledSimilarity(),
        BestFrameSimilarity(),
        AverageSimilarity(similarities=average),
    ):
        score = score_from_settings(similarity.index_score)
        expected = similarity(torch.from_numpy(q), torch.from_numpy(x), mask).numpy()
        found = [
            score.exact(row, ScoredFrames(x.astype(float) @ row, x, lengths, num_frames, norms))
            for row in q
        ]
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_the_bounds_of_the_mean_pooled_score_are_its_rounding():
    rng = np.random.default_rng(3)
    x = random_frames(rng, 200, 6, 16, 0.5).astype(np.float32)
    num_frames = np.full(200, 6)
    means, summary = summarise(x, num_frames)
    q = unit(rng.standard_normal(16))
    cosines, lengths = x.astype(np.float64) @ q, np.ones((200, 6))
    frames = ScoredFrames(cosines, x, lengths, num_frames, summary.mean_norm)
    exact = MeanPooledScore().exact(q, frames)
    lower, upper = MeanPooledScore().bounds(means @ q.astype(np.float32), summary, dot_error(16))
    assert np.all((lower <= exact) & (exact <= upper))
    assert (upper - lower).max() < 4 * dot_error(16) / summary.mean_norm.min()


def test_the_bound_is_tight_where_frames_are_alike():
    """At a real spread it excludes windows that the radius alone would not."""
    rng = np.random.default_rng(4)
    x = unit(unit(rng.standard_normal((50, 1, 512))) + 0.01 * rng.standard_normal((50, 12, 512)))
    means, summary = summarise(x, np.full(50, 12))
    q = unit(means[0].astype(np.float64) + 2.5 * unit(rng.standard_normal(512)))
    _, upper = FrameWeightedScore().bounds(means @ q.astype(np.float32), summary, dot_error(512))
    excess = upper - means @ q.astype(np.float32)
    assert summary.radius.min() > 0.15
    assert excess[0] < 0.05


@pytest.mark.parametrize(
    'settings', [dict(type='other'), dict(), dict(type='mean_pooled', temperature=4.0)]
)
def test_unknown_scores_are_refused(settings):
    with pytest.raises(ValueError, match='is unknown, choose one of'):
        score_from_settings(settings)


def test_a_negative_temperature_is_refused():
    with pytest.raises(ValueError, match='temperature=-1'):
        score_from_settings(dict(type='frame_weighted', temperature=-1))
