"""The loss against its definition, and two processes against one."""

import runpy
from pathlib import Path

import pytest
import torch

from ts2net_mm.models import SymmetricContrastiveLoss

SCRIPT = Path(__file__).with_name('contrastive_shard.py')


@pytest.fixture
def problem() -> dict:
    """Eight videos of four frames, some masked, and weights."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    lengths = torch.tensor([4, 1, 3, 4, 2, 4, 4, 1])
    return dict(
        batch=dict(
            text=draw(8, 6),
            video=draw(8, 4, 6),
            frame_mask=torch.arange(4) < lengths[:, None],
        ),
        weights={
            'text_layer.weight': draw(5, 6),
            'video_layer.weight': draw(5, 6),
            'logit_scale': torch.tensor(1.5),
        },
    )


def logits_of(logits):
    """A similarity with a fixed result."""
    return lambda text, video, frame_mask: logits


@pytest.mark.parametrize('size', [1, 2, 7])
def test_mean_of_both_cross_entropies(size):
    logits = torch.randn(size, size, generator=torch.Generator().manual_seed(size))
    features = torch.zeros(size, 3)
    losses = SymmetricContrastiveLoss()(logits_of(logits), features, features, features)
    assert set(losses) == {'loss_t2v', 'loss_v2t'}

    right = [logits[i, i].item() for i in range(size)]
    over_videos = [sum(logits[i].exp()).log().item() - right[i] for i in range(size)]
    over_texts = [sum(logits[:, i].exp()).log().item() - right[i] for i in range(size)]
    text_to_video = sum(over_videos) / size
    video_to_text = sum(over_texts) / size
    assert losses['loss_t2v'].item() == pytest.approx(text_to_video / 2, abs=1e-6)
    assert losses['loss_v2t'].item() == pytest.approx(video_to_text / 2, abs=1e-6)


def test_rows_are_texts_and_columns_are_videos():
    """Both texts are alike, and the first video is the better match of both."""
    logits = torch.tensor([[5.0, 0.0], [5.0, 0.0]])
    features = torch.zeros(2, 1)
    losses = SymmetricContrastiveLoss()(logits_of(logits), features, features, features)
    assert losses['loss_t2v'] > 1
    assert losses['loss_v2t'].item() == pytest.approx(0.5 * torch.tensor(2.0).log().item())


def test_gradient_scale_does_not_change_the_loss():
    logits = torch.randn(5, 5, requires_grad=True)
    features = torch.zeros(5, 3)
    found = []
    for settings in ({}, dict(gradient_scale=1 / 8)):
        losses = SymmetricContrastiveLoss(**settings)(
            logits_of(logits), features, features, features
        )
        (gradient,) = torch.autograd.grad(sum(losses.values()), logits)
        found.append((sum(losses.values()).item(), gradient))
    assert found[0][0] == found[1][0]
    torch.testing.assert_close(found[0][1], 8 * found[1][1])


@pytest.mark.slow
def test_two_processes_compute_what_one_does(problem, tmp_path, run_together):
    """Loss, gradients of shared parameters and of features, and the gather alone."""
    script = runpy.run_path(str(SCRIPT))
    alone = script['run'](script['TwoTowers'](problem['weights']), problem['batch'])
    torch.save(problem, tmp_path / 'batch.pt')
    run_together(SCRIPT, [(tmp_path, rank) for rank in range(2)], tmp_path / 'output.txt')
    found = [torch.load(tmp_path / f'rank{rank}.pt') for rank in range(2)]

    def check(computed, name):
        torch.testing.assert_close(computed, alone[name], rtol=1e-5, atol=1e-6, msg=name)

    for name in ('loss_t2v', 'loss_v2t'):
        check((found[0][name] + found[1][name]) / 2, name)
    for name in ('text_layer.weight', 'video_layer.weight', 'logit_scale'):
        assert alone[f'grad {name}'].abs().max() > 1e-3
        for rank in range(2):  # DistributedDataParallel has averaged them
            check(found[rank][f'grad {name}'], f'grad {name}')
    for name in ('grad of text', 'grad of video'):
        # each process holds the gradient of the sum of both losses, for its own rows
        check(torch.cat([found[0][name], found[1][name]]) / 2, name)

    assert [shard['order'].tolist() for shard in found] == [[0, 10, 1, 11]] * 2
    for name in ('first', 'second'):  # the factors of the two processes are 1 and 11
        gradient = torch.cat([found[0][name], found[1][name]])
        assert torch.equal(gradient, torch.arange(12.0).view(4, 3) * 12)
