"""Similarities against the formula, pair by pair."""

import pytest
import torch
from mmaction.registry import MODELS

from ts2net_mm.models.layers.similarity import (
    frame_weighted_similarity,
    mean_pooled_similarity,
)


@pytest.fixture
def features():
    torch.manual_seed(0)
    mask = torch.arange(5) < torch.tensor([5, 1, 3, 2])[:, None]
    return torch.randn(7, 8), torch.randn(4, 5, 8), mask


def pair_score(sentence, frames, temperature):
    """Similarity of one sentence and the valid frames of one video."""
    cosines = torch.stack(
        [torch.dot(sentence, frame) / (sentence.norm() * frame.norm()) for frame in frames]
    )
    weights = torch.softmax(temperature * cosines / cosines.norm(), dim=0)
    return (weights * cosines).sum()


@pytest.mark.parametrize('temperature', [4.0, 1.0, 300.0])
def test_frame_weighted_equals_the_formula_of_each_pair(features, temperature):
    text, video, mask = features
    found = frame_weighted_similarity(text, video, mask, temperature=temperature)
    for n, sentence in enumerate(text):
        for m in range(len(video)):
            expected = pair_score(sentence, video[m, mask[m]], temperature)
            torch.testing.assert_close(found[n, m], expected)


def test_mean_pooled_equals_the_formula_of_each_pair(features):
    text, video, mask = features
    found = mean_pooled_similarity(text, video, mask)
    for n, sentence in enumerate(text):
        for m in range(len(video)):
            frames = video[m, mask[m]]
            pooled = (frames / frames.norm(dim=-1, keepdim=True)).mean(dim=0)
            expected = torch.cosine_similarity(sentence, pooled, dim=0)
            torch.testing.assert_close(found[n, m], expected)


@pytest.mark.parametrize('temperature', [4.0, 300.0])
def test_the_weights_of_the_frames_give_the_score(features, temperature):
    """With these weights the weighted cosines are the score, and padding has none."""
    text, video, mask = features
    similarity = MODELS.build(dict(type='FrameWeightedSimilarity', temperature=temperature))
    weights = similarity.frame_weights(text, video, mask)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(7, 4))
    assert (weights[:, ~mask] == 0).all()
    cosines = torch.cosine_similarity(text[:, None, None], video[None], dim=-1)
    expected = similarity(text, video, mask)
    torch.testing.assert_close((weights * cosines).sum(dim=-1), expected)
    mean = MODELS.build(dict(type='MeanPooledSimilarity')).frame_weights(text, video, mask)
    assert mean[3].tolist() == (mask / mask.sum(dim=1, keepdim=True)).tolist()


@pytest.mark.parametrize('max_elements', [1, 45, 139, 140])
def test_chunks_have_no_effect(features, max_elements):
    whole = frame_weighted_similarity(*features)
    parts = frame_weighted_similarity(*features, max_elements=max_elements)
    torch.testing.assert_close(parts, whole)


@pytest.mark.parametrize('count', [17, 205, 256])
def test_equal_videos_tie_wherever_they_stand(count):
    torch.manual_seed(0)
    text, video = torch.randn(300, 64), torch.randn(count, 12, 64)
    places = torch.arange(0, count, 7)
    video[places] = video[0].clone()
    scores = frame_weighted_similarity(text, video, torch.ones(count, 12, dtype=torch.bool))
    assert (scores[:, places] == scores[:, :1]).all()


@pytest.mark.parametrize('name', ['FrameWeightedSimilarity', 'MeanPooledSimilarity'])
def test_padding_has_no_effect(features, name):
    text, video, mask = features
    similarity = MODELS.build(dict(type=name))
    garbage = torch.where(mask[..., None], video, 1e3)
    torch.testing.assert_close(similarity(text, garbage, mask), similarity(text, video, mask))
    alone = similarity(text, video[2:3, :3], mask[2:3, :3])
    torch.testing.assert_close(alone, similarity(text, video, mask)[:, 2:3])


def test_gradients_are_finite_with_masked_frames(features):
    text, video, mask = features
    video.requires_grad_()
    frame_weighted_similarity(text, video, mask).sum().backward()
    assert video.grad.isfinite().all()
    assert (video.grad[~mask] == 0).all()
