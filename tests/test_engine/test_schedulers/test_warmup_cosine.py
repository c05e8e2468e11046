import math

import pytest
import torch
from mmaction.registry import PARAM_SCHEDULERS
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from ts2net_mm.engine import WarmupCosineLR


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


def test_rate_stays_outside_of_begin_and_end():
    optimizer = make_optimizer(1.0)
    scheduler = WarmupCosineLR(optimizer, begin=5, end=25)
    found = [rate for (rate,) in rates_of(optimizer, scheduler, 30)]
    assert found[:5] == [1.0] * 5
    assert found[5:25] == pytest.approx([released_factor(step, 20) for step in range(20)])
    assert found[25:] == [found[24]] * 5


def test_resuming_by_state():
    optimizer = make_optimizer(1.0, 0.5)
    scheduler = WarmupCosineLR(optimizer, end=20)
    rates_of(optimizer, scheduler, 8)

    fresh = make_optimizer(1.0, 0.5)
    other = WarmupCosineLR(fresh, end=20)
    fresh.load_state_dict(optimizer.state_dict())
    other.load_state_dict(scheduler.state_dict())
    found = rates_of(fresh, other, 12)
    assert found == rates_of(optimizer, scheduler, 12)
    assert found[0] == pytest.approx([released_factor(8, 20), 0.5 * released_factor(8, 20)])


class OneWeight(BaseModel):
    """A model that notes the rates of its steps."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.rates = []

    def forward(self, inputs, data_samples=None, mode='loss'):
        return dict(loss=self.weight.sum())

    def train_step(self, data, optim_wrapper):
        self.rates.append(optim_wrapper.get_lr()['lr'][0])
        return super().train_step(data, optim_wrapper)


@pytest.mark.parametrize(
    'train_cfg',
    [dict(by_epoch=True, max_epochs=3), dict(by_epoch=False, max_iters=15, val_interval=100)],
    ids=['epochs', 'iterations'],
)
def test_through_the_runner(tmp_path, monkeypatch, train_cfg):
    """Three epochs of five iterations; the end of the schedule comes from the training loop."""
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    model = OneWeight()
    dataset = [dict(inputs=torch.zeros(1))] * 5
    runner = Runner(
        model=model,
        work_dir=str(tmp_path),
        train_cfg=train_cfg,
        train_dataloader=dict(
            dataset=dataset, batch_size=1, sampler=dict(type='DefaultSampler', shuffle=False)
        ),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01)),
        param_scheduler=dict(type='WarmupCosineLR', warmup_ratio=0.2, by_epoch=False),
        default_scope='mmaction',
        default_hooks=dict(checkpoint=None),
        experiment_name=f'{tmp_path.name}-{next(iter(train_cfg.values()))}',
    )
    runner.train()
    assert model.rates == pytest.approx([0.01 * released_factor(n, 15, 0.2) for n in range(15)])


def test_registry_and_optimiser_wrapper():
    wrapper = OptimWrapper(make_optimizer(1.0))
    cfg = dict(type='WarmupCosineLR', optimizer=wrapper, end=10)
    scheduler = PARAM_SCHEDULERS.build(cfg)
    assert isinstance(scheduler, WarmupCosineLR)
    assert wrapper.get_lr() == dict(lr=[0.0])


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(by_epoch=True), 'counts iterations, set by_epoch=False'),
        (dict(warmup_ratio=1.0), r'warmup_ratio=1\.0 must be from 0 to below 1'),
        (dict(warmup_ratio=-0.1), r'warmup_ratio=-0\.1 must be'),
        (dict(begin=10), 'end should be larger than begin'),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        WarmupCosineLR(make_optimizer(1.0), end=10, **settings)
