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


def test_noise_is_standard_normal_and_follows_the_generator():
    first, second = (
        draw_noise((200, 300), device='cpu', dtype=torch.float32, generator=generator)
        for generator in (torch.Generator().manual_seed(1), torch.Generator().manual_seed(1))
    )
    assert torch.equal(first, second)
    assert abs(first.mean()) < 0.02
    assert abs(first.std() - 1) < 0.02
