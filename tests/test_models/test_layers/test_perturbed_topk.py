"""Perturbed top-K against a plain one-hot implementation."""

import pytest
import torch
from torch.nn.functional import one_hot

from ts2net_mm.models.layers.perturbed_topk import draw_noise, hard_topk, perturbed_topk


def naive(scores, noise, k, sigma):
    """Indicator and its gradient estimate from the whole (N, S, K, P) one-hot tensor."""
    chosen = (scores[:, None] + sigma * noise).topk(k).indices.sort(dim=-1).values
    onehot = one_hot(chosen, scores.shape[1]).to(scores.dtype)
    estimate = (onehot * noise[:, :, None]).mean(dim=1) / sigma
    return onehot.mean(dim=1), estimate


@pytest.mark.parametrize('rows', [5, 1])
@pytest.mark.parametrize(('k', 'num_patches'), [(1, 1), (1, 7), (3, 7), (7, 7)])
def test_values_and_gradients_equal_the_naive_form(k, num_patches, rows):
    torch.manual_seed(0)
    scores = torch.rand(5, num_patches, requires_grad=True)
    noise = torch.randn(rows, 40, num_patches)  # of each row, or shared
    indicator = perturbed_topk(scores, noise, k, 0.05)
    expected, estimate = naive(scores.detach(), noise, k, 0.05)
    torch.testing.assert_close(indicator, expected)

    weight = torch.rand_like(indicator)
    (indicator * weight).sum().backward()
    torch.testing.assert_close(scores.grad, (weight * estimate).sum(dim=1))


def score_gradient(gradient, scores, noise, weight, sigma=0.2):
    """Gradient of the weighted sum of the indicator."""
    scores = scores.clone().requires_grad_()
    k = weight.shape[1]
    (perturbed_topk(scores, noise, k, sigma, gradient=gradient) * weight).sum().backward()
    return scores.grad


@pytest.mark.parametrize('rows', [3, 1])
def test_the_full_gradient_is_the_covariance_of_value_and_noise(rows):
    torch.manual_seed(0)
    scores, noise, weight = torch.rand(3, 7), torch.randn(rows, 40, 7), torch.rand(3, 2, 7)
    chosen = (scores[:, None] + 0.2 * noise).topk(2).indices.sort(dim=-1).values
    value = (one_hot(chosen, 7) * weight[:, None]).sum(dim=(2, 3))
    centred = noise - noise.mean(dim=2, keepdim=True)
    expected = torch.stack(
        [
            torch.cov(torch.cat([v[None], z.T]))[0, 1:]
            for v, z in zip(value, centred.expand(3, -1, -1), strict=True)
        ]
    )
    found = score_gradient('full', scores, noise, weight)
    torch.testing.assert_close(found, expected / 0.2)


def test_the_full_gradient_is_that_of_the_expected_indicator():
    torch.manual_seed(0)
    scores, noise = 0.2 * torch.rand(1, 6).double(), torch.randn(1, 200_000, 6).double()
    weight = torch.rand(1, 2, 6).double()

    def loss(scores):
        return (perturbed_topk(scores, noise, 2, 0.2) * weight).sum()

    steps = 0.02 * torch.eye(6).double()
    expected = torch.stack([loss(scores + step) - loss(scores - step) for step in steps]) / 0.04
    for gradient, tolerance in (('full', 0.02), ('diagonal', 0.5)):
        found = score_gradient(gradient, scores, noise, weight)[0]
        is_near = torch.allclose(found, expected, atol=tolerance, rtol=0)
        assert is_near == (gradient == 'full')


def test_only_the_diagonal_gradient_moves_all_scores_together():
    """Where every patch is equally bad, no choice is better, and no score should change."""
    torch.manual_seed(0)
    scores, noise, weight = torch.rand(4, 9), torch.randn(4, 500, 9), torch.ones(4, 3, 9)
    assert (score_gradient('diagonal', scores, noise, weight).mean(dim=1) > 0.5).all()
    assert score_gradient('full', scores, noise, weight).abs().max() < 1e-4
    some = score_gradient('full', scores, noise, torch.rand(4, 3, 9))
    assert some.abs().max() > 0.1
    torch.testing.assert_close(some.sum(dim=1), torch.zeros(4), atol=1e-4, rtol=0)


def test_tiny_sigma_equals_hard():
    scores = torch.rand(6, 12)
    soft = perturbed_topk(scores, torch.randn(6, 50, 12), 3, 1e-9)
    assert torch.equal(soft, one_hot(hard_topk(scores, 3), 12).float())


def test_rows_sum_to_one_and_ranks_are_sorted_by_position():
    scores = torch.tensor([[0.9, 0.0, 0.8, 0.0, 0.7]])
    assert hard_topk(scores, 3).tolist() == [[0, 2, 4]]
    indicator = perturbed_topk(scores, torch.randn(1, 100, 5), 3, 0.3)
    torch.testing.assert_close(indicator.sum(dim=-1), torch.ones(1, 3))


def test_only_the_estimate_is_saved():
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        perturbed_topk(torch.rand(4, 10, requires_grad=True), torch.randn(4, 500, 10), 3, 0.05)
    assert sum(tensor.numel() for tensor in saved) == 4 * 3 * 10


def test_bad_settings():
    for k in (0, 11):
        with pytest.raises(ValueError, match=f'topk={k} must be between 1 and the 10 candidates'):
            perturbed_topk(torch.rand(2, 10), torch.randn(2, 5, 10), k, 0.05)
    with pytest.raises(ValueError, match='sigma=0.0 must be positive'):
        perturbed_topk(torch.rand(2, 10), torch.randn(2, 5, 10), 3, 0.0)
    with pytest.raises(ValueError, match='1 noise samples, expected at least 2'):
        perturbed_topk(torch.rand(2, 10), torch.randn(2, 1, 10), 3, 0.1, gradient='full')


def test_noise_is_standard_normal_and_follows_the_generator():
    first, second = (
        draw_noise((200, 300), device='cpu', dtype=torch.float32, generator=generator)
        for generator in (torch.Generator().manual_seed(1), torch.Generator().manual_seed(1))
    )
    assert torch.equal(first, second)
    assert abs(first.mean()) < 0.02
    assert abs(first.std() - 1) < 0.02
