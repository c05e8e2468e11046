import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import PARAM_SCHEDULERS
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from ts2net_mm.engine import BertAdam, WarmupCosineLR

REFERENCE = Path(__file__).parents[2] / 'data' / 'bertadam.npz'


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


def test_drives_bert_adam_through_the_released_steps_to_the_bit():
    with np.load(REFERENCE) as arrays:
        reference = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    w, b = (nn.Parameter(reference[f'fp32/{name}0'].clone()) for name in 'wb')
    groups = [dict(params=[w], lr=1e-7), dict(params=[b], lr=1e-4, weight_decay=0.0)]
    optimizer = BertAdam(groups, lr=1e-4)
    scheduler = WarmupCosineLR(optimizer, end=40)
    for step in range(40):
        w.grad, b.grad = (reference[f'fp32/grad_{name}'][step] for name in 'wb')
        optimizer.step()
        scheduler.step()
        if f'fp32/w{step + 1}' in reference:
            assert torch.equal(w.data, reference[f'fp32/w{step + 1}']), step
            assert torch.equal(b.data, reference[f'fp32/b{step + 1}']), step


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


def make_runner(work_dir: Path, train_cfg: dict, **settings) -> Runner:
    """Five iterations an epoch; the end of the schedule comes from the training loop."""
    wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
    return Runner(
        model=OneWeight(),
        work_dir=str(work_dir),
        train_cfg=train_cfg,
        train_dataloader=dict(
            dataset=[dict(inputs=torch.zeros(1))] * 5,
            batch_size=1,
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        optim_wrapper=wrapper | settings.pop('wrapper', {}),
        param_scheduler=dict(type='WarmupCosineLR', warmup_ratio=0.2, by_epoch=False),
        default_scope='mmaction',
        experiment_name=f'{work_dir.name}-{len(settings)}-{next(iter(train_cfg.values()))}',
        **settings,
    )


BY_EPOCH = dict(by_epoch=True, max_epochs=3)
BY_ITERATION = dict(by_epoch=False, max_iters=15, val_interval=100)


@pytest.fixture
def _no_pause(monkeypatch):
    """MMEngine's epoch loop sleeps before it starts."""
    monkeypatch.setattr('time.sleep', lambda seconds: None)


@pytest.mark.usefixtures('_no_pause')
@pytest.mark.parametrize('train_cfg', [BY_EPOCH, BY_ITERATION], ids=['epochs', 'iterations'])
def test_through_the_runner(tmp_path, train_cfg):
    runner = make_runner(tmp_path, train_cfg, default_hooks=dict(checkpoint=None))
    model = runner.train()
    assert model.rates == pytest.approx([0.01 * released_factor(n, 15, 0.2) for n in range(15)])


@pytest.mark.usefixtures('_no_pause')
@pytest.mark.parametrize(
    ('train_cfg', 'saved'),
    [(BY_EPOCH, 'epoch_2'), (BY_ITERATION, 'iter_7')],
    ids=['epochs', 'iterations'],
)
def test_resuming_in_the_runner(tmp_path, train_cfg, saved):
    by_epoch = train_cfg['by_epoch']
    hooks = dict(
        checkpoint=dict(type='CheckpointHook', by_epoch=by_epoch, interval=2 if by_epoch else 7)
    )
    rates = make_runner(tmp_path, train_cfg, default_hooks=hooks).train().rates
    other = make_runner(
        tmp_path,
        train_cfg,
        default_hooks=hooks,
        load_from=str(tmp_path / f'{saved}.pth'),
        resume=True,
    )
    done = 10 if by_epoch else 7
    assert other.train().rates == rates[done:]
    assert rates[done:] == pytest.approx(
        [0.01 * released_factor(n, 15, 0.2) for n in range(done, 15)]
    )


@pytest.mark.usefixtures('_no_pause')
# MMEngine's schedulers expect an update in the first iteration
@pytest.mark.filterwarnings('ignore:Detected call of .scheduler.step')
def test_accumulated_gradients_share_a_rate(tmp_path):
    """15 iterations make 5 updates, and each has the rate of the release's update."""
    runner = make_runner(
        tmp_path,
        BY_EPOCH,
        default_hooks=dict(checkpoint=None),
        wrapper=dict(accumulative_counts=3),
    )
    model = runner.train()
    updates = [0.01 * released_factor(n, 5, 0.2) for n in range(5)]
    assert model.rates == pytest.approx([rate for rate in updates for _ in range(3)])


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
        (dict(warmup_ratio=1.0), r'warmup_ratio=1\.0 must be at least 0 and below 1'),
        (dict(warmup_ratio=-0.1), r'warmup_ratio=-0\.1 must be'),
        (dict(begin=10), 'end should be larger than begin'),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        WarmupCosineLR(make_optimizer(1.0), end=10, **settings)
