"""Signal and noise of gradients, where both are known."""

import math

import pytest
import torch
from mmaction.registry import MODELS
from tiny import model_config

from ts2net_mm.engine.selection_gradient import (
    Estimator,
    GradientStatistics,
    measure_gradients,
    selection_gradients,
)

DIMS = 5


def draw_statistics(seed, *, batches=400, draws=6, noise=2.0, data=0.5):
    """Gradients around a known vector, and their statistics."""
    generator = torch.Generator().manual_seed(seed)
    center = torch.arange(1.0, 1 + DIMS).double()
    found = GradientStatistics()
    for _ in range(batches):
        spread = data * torch.randn(DIMS, generator=generator).double()
        found.add(
            center + spread + noise * torch.randn(DIMS, generator=generator).double()
            for _ in range(draws)
        )
    return center, found


def test_noise_and_signal_are_unbiased():
    center, found = draw_statistics(0)
    root = math.sqrt(DIMS)
    assert found.noise == pytest.approx(2.0 * root, rel=0.03)
    assert found.data == pytest.approx(0.5 * root, rel=0.15)
    assert found.signal == pytest.approx(center.norm().item(), rel=0.02)
    of_batches = math.hypot(center.norm().item(), 0.5 * root)
    assert found.signal_of_batches == pytest.approx(of_batches, rel=0.02)


def test_few_noisy_draws_do_not_look_like_a_signal():
    generator = torch.Generator().manual_seed(0)
    squares = []
    for _ in range(300):
        found = GradientStatistics()
        found.add(torch.randn(DIMS, generator=generator).double() for _ in range(2))
        squares += found.squared_norms
    assert sum(squares) / len(squares) == pytest.approx(0, abs=0.3)  # 2.5 if biased


def test_the_cosine_is_that_without_noise():
    _, one = draw_statistics(0, batches=200, data=0.0)
    _, other = draw_statistics(1, batches=200, data=0.0)
    # that of the means themselves is 0.94
    assert one.cosine(other) == pytest.approx(1, abs=0.02)
    lost = GradientStatistics()
    lost.add([torch.ones(DIMS).double(), -torch.ones(DIMS).double()])
    assert math.isnan(lost.cosine(lost))


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = MODELS.build(model_config())
    model.init_weights()
    return model.eval()


@pytest.fixture
def tokens():
    return torch.randn(2, 4, 17, 16, generator=torch.Generator().manual_seed(0))


def draw_mean(neck, tokens, count, loss_of):
    torch.manual_seed(0)
    draws = [selection_gradients(neck, tokens, None, loss_of)[0] for _ in range(count)]
    return torch.stack(draws).mean(dim=0).unflatten(0, (2, 4, 17))


def test_an_estimator_trains_a_copy_in_its_way(model, tokens):
    weights = torch.randn(16, generator=torch.Generator().manual_seed(1))

    def loss_of(selected):
        return (selected @ weights).square().sum()

    full = draw_mean(Estimator('full', 0.5, 50).of(model.neck), tokens, 20, loss_of)
    diagonal = draw_mean(Estimator('diagonal', 0.5, 50).of(model.neck), tokens, 20, loss_of)
    assert full.sum(dim=-1).abs().max() < 1e-5 * full.abs().max()  # scores of a frame
    assert diagonal.sum(dim=-1).abs().max() > 0.1 * diagonal.abs().max()
    torch.manual_seed(0)
    straight = Estimator().of(model.neck)
    first, second = (selection_gradients(straight, tokens, None, loss_of) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert first[0].abs().max() > 0
    assert first[1].shape == (sum(p.numel() for p in model.neck.parameters()),)
    assert (model.neck.sigma, model.neck.num_samples, model.neck.training) == (0.05, 20, False)


def test_noise_shrinks_with_the_samples_and_only_the_selection_is_drawn(model):
    generator = torch.Generator().manual_seed(0)
    text = torch.randint(1, 49, (3, 12), generator=generator)
    text[:, 7] = 49
    batches = []
    for _ in range(2):
        imgs = torch.randn(3, 4, 3, 32, 32, generator=generator)
        inputs = dict(imgs=imgs, text=text, frame_mask=torch.ones(3, 4, dtype=torch.bool))
        batches.append(dict(inputs=inputs, data_samples=None))
    model.data_preprocessor = torch.nn.Module()
    model.data_preprocessor.forward = lambda batch, training: batch
    few, many = Estimator('full', 0.05, 10), Estimator('full', 0.05, 160)
    found = measure_gradients(model, batches, [Estimator(), few, many], draws=8)
    for part in range(2):  # scores, weights
        assert found[Estimator()][part].noise == 0
        assert found[few][part].noise / found[many][part].noise == pytest.approx(4, rel=0.5)
