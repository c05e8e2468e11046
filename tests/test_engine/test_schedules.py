"""The released schedule, alone, with BertAdam and in the Runner."""

import math

import pytest
import torch
from tiny import reference
from torch import nn

from ts2net_mm.engine import BertAdam, WarmupCosineLR


def released_factor(step: int, total: int, warmup: float = 0.1) -> float:
    done = step / total
    return done / warmup if done < warmup else 0.5 * (1 + math.cos(math.pi * done))


def make_optimizer(*rates: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([dict(params=[nn.Parameter(torch.ones(1))], lr=lr) for lr in rates])


def rates_of(optimizer, scheduler, steps: int) -> list[list[float]]:
    """The rates of all groups in each of so many iterations."""
    rates = []
    for _ in range(steps):
        rates.append([group['lr'] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(('total', 'warmup'), [(40, 0.1), (7, 0.1), (10, 0.5), (9, 0.0), (1, 0.1)])
def test_released_schedule_for_every_group(total, warmup):
    optimizer = make_optimizer(1e-4, 1e-7)
    scheduler = WarmupCosineLR(optimizer, warmup_ratio=warmup, end=total)
    for step, found in enumerate(rates_of(optimizer, scheduler, total)):
        factor = released_factor(step, total, warmup)
        assert found == pytest.approx([1e-4 * factor, 1e-7 * factor], rel=1e-12)


def test_bert_adam_takes_the_released_steps_bit_exactly():
    released = reference('bertadam.npz')
    w, b = (nn.Parameter(released[f'fp32/{name}0'].clone()) for name in 'wb')
    groups = [dict(params=[w], lr=1e-7), dict(params=[b], lr=1e-4, weight_decay=0.0)]
    optimizer = BertAdam(groups, lr=1e-4)
    scheduler = WarmupCosineLR(optimizer, end=40)
    for step in range(40):
        w.grad, b.grad = (released[f'fp32/grad_{name}'][step] for name in 'wb')
        optimizer.step()
        scheduler.step()
        if f'fp32/w{step + 1}' in released:
            assert torch.equal(w.data, released[f'fp32/w{step + 1}']), step
            assert torch.equal(b.data, released[f'fp32/b{step + 1}']), step


def test_rate_is_constant_outside_of_begin_and_end():
    optimizer = make_optimizer(1.0)
    scheduler = WarmupCosineLR(optimizer, begin=5, end=25)
    found = [rate for (rate,) in rates_of(optimizer, scheduler, 30)]
    assert found[:5] == [1.0] * 5
    assert found[5:25] == pytest.approx([released_factor(step, 20) for step in range(20)])
    assert found[25:] == [found[24]] * 5


SCHEDULE = dict(type='WarmupCosineLR', warmup_ratio=0.2, by_epoch=False)


@pytest.fixture
def _no_pause(monkeypatch):
    """MMEngine's loops sleep before they start."""
    monkeypatch.setattr('time.sleep', lambda seconds: None)


@pytest.mark.usefixtures('_no_pause')
@pytest.mark.parametrize(
    ('train_cfg', 'checkpoint', 'saved'),
    [
        (dict(by_epoch=True, max_epochs=3), dict(interval=2), 'epoch_2'),
        (
            dict(by_epoch=False, max_iters=15, val_interval=100),
            dict(by_epoch=False, interval=7),
            'iter_7',
        ),
    ],
    ids=['epochs', 'iterations'],
)
def test_loops_of_mmengine_and_resuming(toy, rates_of, tmp_path, train_cfg, checkpoint, saved):
    settings = dict(train_cfg=train_cfg, scheduler=SCHEDULE, type='CheckpointHook', **checkpoint)
    rates = rates_of(toy(**settings))
    assert rates == pytest.approx([1e-3 * released_factor(n, 15, 0.2) for n in range(15)])
    resumed = toy(load_from=str(tmp_path / f'{saved}.pth'), resume=True, **settings)
    assert rates_of(resumed) == rates[10 if saved == 'epoch_2' else 7 :]


# MMEngine's schedulers expect an update in the first iteration
@pytest.mark.filterwarnings('ignore:Detected call of .scheduler.step')
def test_accumulated_gradients_share_a_rate(toy, rates_of):
    """15 iterations make 5 updates, each with the rate of the release's update."""
    rates = rates_of(toy(scheduler=SCHEDULE, accumulative_counts=3, max_epochs=3))
    updates = [1e-3 * released_factor(n, 5, 0.2) for n in range(5)]
    assert rates == pytest.approx([rate for rate in updates for _ in range(3)])


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(by_epoch=True), 'counts iterations, set by_epoch=False'),
        (dict(warmup_ratio=1.0), r'warmup_ratio=1\.0 must be at least 0 and below 1'),
        (dict(begin=10), 'end should be larger than begin'),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        WarmupCosineLR(make_optimizer(1.0), end=10, **settings)
