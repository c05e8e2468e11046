"""Training with several processes equals training with a single process and the whole batch."""

import runpy
from itertools import product
from pathlib import Path

import pytest
import torch

from ts2net_mm.models.layers import perturbed_topk

SCRIPT = Path(__file__).with_name('train_shard.py')


@pytest.fixture(scope='module')
def saved(released_weights) -> dict:
    """Weights and four batches of nine videos, of different lengths, and their sentences."""
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(4):
        text = torch.randint(1, 598, (9, 16), generator=generator)
        text[:, -1] = 599  # end of text
        lengths = torch.randint(1, 4, (9, 1), generator=generator)
        imgs = torch.randint(256, (9, 3, 3, 56, 56), generator=generator, dtype=torch.uint8)
        batches.append(dict(text=text, imgs=imgs, frame_mask=torch.arange(3) < lengths))
    return dict(weights=released_weights, batches=batches)


@pytest.fixture(scope='module')
def alone(saved) -> dict:
    """The result of a single process, without and with accumulation of two batches."""
    script = runpy.run_path(str(SCRIPT))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(perturbed_topk, 'draw_noise', perturbed_topk.draw_noise)
        return {counts: script['train'](saved, counts) for counts in (1, 2)}


@pytest.mark.slow
def test_losses_gradients_and_weights(run_together, saved, alone, tmp_path):
    """With accumulation each batch has its own loss in both; frozen parameters do not change.

    A cached batch changes nothing, and reduces the gradients as often as a plain step.
    """
    world_size = 3
    torch.save(saved, tmp_path / 'saved.pt')
    arguments = [(tmp_path, rank, world_size) for rank in range(world_size)]
    run_together(SCRIPT, arguments, tmp_path / 'output.txt')
    found = [torch.load(tmp_path / f'rank{rank}.pt') for rank in range(world_size)]

    for counts, cached in product(alone, (False, True)):
        expected, ranks = alone[counts], [one[counts, cached] for one in found]
        losses = torch.tensor([one['losses'] for one in ranks]).mean(dim=0)
        torch.testing.assert_close(losses, torch.tensor(expected['losses']), rtol=1e-5, atol=0)
        for one, plain in zip(ranks, found, strict=True):
            assert one['reductions'] == plain[counts, False]['reductions'] > 0
            assert one['gradients'].keys() == expected['gradients'].keys()
            for name, gradient in expected['gradients'].items():
                torch.testing.assert_close(
                    one['gradients'][name], gradient, rtol=1e-5, atol=1e-12, msg=name
                )
            for name, weight in expected['weights'].items():
                torch.testing.assert_close(
                    one['weights'][name], weight, rtol=0, atol=1e-9, msg=name
                )


@pytest.mark.slow
def test_comparison_is_sensitive(saved, alone):
    """Weights move by far more than the tolerance, except frozen ones, and gradients differ."""
    start = runpy.run_path(str(SCRIPT))['build'](saved['weights'])
    for name, parameter in start.named_parameters():
        moved = (alone[1]['weights'][name] - parameter).abs().max()
        assert (moved > 1e-6) == parameter.requires_grad, name
    plain, accumulated = (alone[counts]['gradients']['head.logit_scale'] for counts in (1, 2))
    assert not torch.isclose(plain, accumulated, rtol=1e-3)
    assert len(alone[1]['gradients']) < len(alone[1]['weights'])
