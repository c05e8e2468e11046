"""Similarities against the formula, pair by pair."""

import pytest
import torch
from mmaction.registry import MODELS

from ts2net_mm.models.layers.similarity import (
    best_frame_similarity,
    frame_weighted_similarity,
    mean_pooled_similarity,
    token_interaction,
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


def test_best_frame_equals_the_formula_of_each_pair(features):
    text, video, mask = features
    found = best_frame_similarity(text, video, mask)
    for n, sentence in enumerate(text):
        for m in range(len(video)):
            cosines = torch.cosine_similarity(sentence[None], video[m, mask[m]])
            torch.testing.assert_close(found[n, m], max(cosines))


def test_the_average_is_that_of_its_parts(features):
    parts = [
        dict(type='FrameWeightedSimilarity', temperature=2.0),
        dict(type='MeanPooledSimilarity'),
    ]
    average = MODELS.build(dict(type='AverageSimilarity', similarities=parts))
    first = frame_weighted_similarity(*features, temperature=2.0)
    torch.testing.assert_close(average(*features), (first + mean_pooled_similarity(*features)) / 2)
    with pytest.raises(ValueError, match='expected at least one'):
        MODELS.build(dict(type='AverageSimilarity', similarities=[]))
    with pytest.raises(ValueError, match='some compare sentences and some words'):
        mixed = [dict(type='TokenInteraction'), dict(type='MeanPooledSimilarity')]
        MODELS.build(dict(type='AverageSimilarity', similarities=mixed))


@pytest.fixture
def words():
    """Features of seven sentences of one to six words, of all lengths; the rest is padding."""
    torch.manual_seed(1)
    counts = torch.tensor([6, 1, 3, 2, 6, 5, 4])
    return torch.randn(7, 6, 8) * (torch.arange(6) < counts[:, None])[..., None]


def interaction_of_pair(words, frames):
    """Each word looks for a frame, and each frame for a word, weighted by their lengths."""
    score = 0.0
    for own, others in ((words, frames), (frames, words)):
        total = sum(token.norm() for token in own)
        for token in own:
            best = max(torch.cosine_similarity(token, other, dim=0) for other in others)
            score += 0.5 * token.norm() / total * best
    return score


def test_token_interaction_equals_the_formula_of_each_pair(words, features):
    _, video, mask = features
    found = token_interaction(words, video, mask)
    for n in range(len(words)):
        spoken = words[n][words[n].any(dim=-1)]
        for m in range(len(video)):
            torch.testing.assert_close(found[n, m], interaction_of_pair(spoken, video[m, mask[m]]))


@pytest.mark.parametrize('max_elements', [1, 29, 70, 211])
def test_chunks_of_words_have_no_effect(words, features, max_elements):
    whole = token_interaction(words, *features[1:])
    parts = token_interaction(words, *features[1:], max_elements=max_elements)
    torch.testing.assert_close(parts, whole)


def test_gradients_of_words_and_frames(words, features):
    _, video, mask = features
    words.requires_grad_()
    video.requires_grad_()
    token_interaction(words, video, mask).sum().backward()
    assert words.grad.isfinite().all()
    assert (words.grad[~words.any(dim=-1)] == 0).all()
    assert (video.grad[~mask] == 0).all()
    assert video.grad[mask].abs().sum() > 0


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
@pytest.mark.parametrize(
    ('compare', 'shape'),
    [
        (frame_weighted_similarity, (300, 64)),
        (best_frame_similarity, (300, 64)),
        (token_interaction, (30, 5, 64)),
    ],
)
def test_equal_videos_tie_wherever_they_stand(count, compare, shape):
    torch.manual_seed(0)
    text, video = torch.randn(shape), torch.randn(count, 12, 64)
    places = torch.arange(0, count, 7)
    video[places] = video[0].clone()
    scores = compare(text, video, torch.ones(count, 12, dtype=torch.bool))
    assert (scores[:, places] == scores[:, :1]).all()


@pytest.mark.parametrize(
    'name',
    [
        'FrameWeightedSimilarity',
        'MeanPooledSimilarity',
        'BestFrameSimilarity',
        'TokenInteraction',
    ],
)
def test_padding_has_no_effect(features, words, name):
    text, video, mask = features
    text = words if name == 'TokenInteraction' else text
    similarity = MODELS.build(dict(type=name))
    garbage = torch.where(mask[..., None], video, 1e3)
    torch.testing.assert_close(similarity(text, garbage, mask), similarity(text, video, mask))
    alone = similarity(text, video[2:3, :3], mask[2:3, :3])
    torch.testing.assert_close(alone, similarity(text, video, mask)[:, 2:3])


@pytest.mark.parametrize('compare', [frame_weighted_similarity, best_frame_similarity])
def test_gradients_are_finite_with_masked_frames(features, compare):
    text, video, mask = features
    video.requires_grad_()
    compare(text, video, mask).sum().backward()
    assert video.grad.isfinite().all()
    assert (video.grad[~mask] == 0).all()
