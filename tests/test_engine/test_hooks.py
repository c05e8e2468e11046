"""The small hooks; tests/test_tools/test_runs_with_bad_videos.py has whole runs."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from mmaction.registry import HOOKS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from ts2net_mm.checkpoints import Checkpoint, config_from_state_dict, config_of
from ts2net_mm.datasets import BadVideosError, TextVideoDataset
from ts2net_mm.engine import (
    BadVideosHook,
    ModelConfigHook,
    NotFiniteError,
    hooks,
)
from ts2net_mm.models import TokenShiftViT, TS2Net


class TwoLayers(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.second = nn.Linear(3, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.second(self.first(inputs))


def good_weights() -> dict[str, torch.Tensor]:
    return {key: torch.full_like(value, 0.5) for key, value in TwoLayers().state_dict().items()}


@pytest.fixture
def load(tmp_path):
    """Function that loads a checkpoint into a new model through the Runner."""

    def load(checkpoint: dict, *, resume: bool = False, custom_hooks: tuple = ()) -> Runner:
        path = tmp_path / 'weights.pth'
        torch.save(checkpoint, path)
        runner = Runner(
            model=TwoLayers(),
            work_dir=str(tmp_path),
            load_from=str(path),
            resume=resume,
            custom_hooks=list(custom_hooks) or [dict(type='StrictCheckpointHook')],
            default_scope='mmaction',
            experiment_name=f'{tmp_path.name}-{len(custom_hooks)}',
        )
        runner.call_hook('before_run')
        runner.load_or_resume()
        return runner

    return load


@pytest.mark.parametrize('first', ['EMAHook', 'StrictCheckpointHook'])
@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize('wrapped', [True, False])
def test_strict_weights_that_fit(load, first, prefix, wrapped):
    """Other hooks see converted weights; EMAHook ignores unknown keys without a message."""
    weights = {prefix + key: value for key, value in good_weights().items()}
    custom_hooks = [dict(type='EMAHook'), dict(type='StrictCheckpointHook')]
    if first != 'EMAHook':
        custom_hooks.reverse()
    runner = load(dict(state_dict=weights) if wrapped else weights, custom_hooks=custom_hooks)
    (average,) = (hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook')
    for model in (runner.model, average.ema_model.module):
        assert all((value == 0.5).all() for value in model.state_dict().values())


@pytest.mark.parametrize('resume', [False, True])
@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'first.bias': None}, r'1 missing: first\.bias$'),
        ({'third.bias': torch.ones(1)}, r'1 unexpected: third\.bias$'),
        (
            {'first.weight': torch.ones(3, 4)},
            r'1 misshapen: first\.weight \(3, 4\) instead of \(3, 2\)',
        ),
    ],
)
def test_strict_weights_that_do_not_fit(load, changes, message, resume):
    weights = {k: v for k, v in (good_weights() | changes).items() if v is not None}
    checkpoint = dict(state_dict=weights, meta=dict(epoch=1, iter=5), message_hub={})
    with pytest.raises(ValueError, match=r'weights\.pth does not fit the model: ' + message):
        load(checkpoint, resume=resume)


def stored(model) -> dict:
    runner = SimpleNamespace(cfg=Config(dict(model=model)) if isinstance(model, dict) else model)
    checkpoint = dict(meta=dict(epoch=1))
    ModelConfigHook().before_save_checkpoint(runner, checkpoint)
    return checkpoint['meta']


def test_model_config_has_settings_that_the_shapes_do_not_show(released_weights):
    model = config_from_state_dict(released_weights)
    model['init_cfg'] = dict(type='CLIPPretrained', checkpoint='ViT-B/32')
    model['backbone'] |= dict(shift_layers=(3, 4), frozen_stages=0)
    model['neck'] |= dict(topk=5)
    content = dict(state_dict=released_weights, meta=stored(model))
    config = config_of(Checkpoint.from_content(content, 'epoch_1.pth'))
    assert config['backbone']['shift_layers'] == [3, 4]
    assert config['backbone']['embed_dims'] == 64
    assert config['neck'] == dict(type='TokenSelection', embed_dims=64, topk=5)
    assert 'init_cfg' not in config and 'frozen_stages' not in config['backbone']


@pytest.mark.parametrize('kind', ['mmaction.TS2Net', 'ts2net_mm.models.ts2net.TS2Net', TS2Net])
def test_model_config_is_stored_alike_for_every_way_to_write_a_type(kind):
    written = dict(type=kind, backbone=dict(type=TokenShiftViT, act_cfg=dict(type=nn.GELU)))
    plain = dict(type='TS2Net', backbone=dict(type='TokenShiftViT', act_cfg=dict(type='GELU')))
    assert stored(written) == stored(dict(plain, _scope_='ts2net_mm')) == stored(plain)


def test_model_config_with_parts_of_others_is_not_stored_and_logged_once(log_records):
    class TokenShiftViT:
        """Somebody else's."""

    hook = ModelConfigHook()
    model = dict(type='TS2Net', backbone=dict(type=TokenShiftViT), neck=dict(type='MyNeck'))
    for _ in range(2):
        checkpoint = dict(meta=dict(epoch=1))
        hook.before_save_checkpoint(SimpleNamespace(cfg=Config(dict(model=model))), checkpoint)
        assert checkpoint['meta'] == dict(epoch=1)
    (line,) = (record.getMessage() for record in log_records if record.levelname == 'WARNING')
    assert 'store no model config, because the run has TokenShiftViT, MyNeck of other' in line


@pytest.mark.parametrize(
    ('log_scale', 'settings', 'expected'),
    [
        (7.0, {}, math.log(100)),
        (4.6, {}, 4.6),
        (-3.0, {}, -3.0),
        (5.0, dict(max_scale=20), math.log(20)),
    ],
)
def test_logit_scale_is_limited(log_scale, settings, expected):
    model = nn.ModuleDict(dict(module=nn.Module()))  # wrapped, as by DistributedDataParallel
    model['module'].logit_scale = nn.Parameter(torch.tensor(log_scale))
    hook = HOOKS.build(dict(type='LogitScaleClampHook', **settings))
    hook.after_train_iter(SimpleNamespace(model=model), batch_idx=0)
    parameter = model['module'].logit_scale
    assert parameter.requires_grad
    assert parameter.item() == pytest.approx(expected)


FINITE = (dict(type='FiniteLossHook'),)


@pytest.mark.parametrize('value', ['nan', 'inf', '-inf'])
def test_loss_that_is_not_finite_ends_the_run(toy, tmp_path, value):
    runner = toy(by_epoch=False, interval=2, hooks=FINITE)
    model = runner.model
    model.spoil = lambda loss: loss * float(value) ** (len(model.losses) == 6)
    with pytest.raises(NotFiniteError) as caught:
        runner.train()
    message = str(caught.value)
    assert 'loss is ' in message
    assert 'at iteration 7 (epoch 2, batch 2)' in message
    assert f'process 0 has the videos {", ".join(model.batches[6])};' in message
    assert message.endswith(f'the last checkpoint is {tmp_path / "iter_6.pth"}')
    assert not (tmp_path / 'iter_8.pth').exists()


def test_gradient_that_is_not_finite_ends_the_run(toy):
    """A loss of 0 whose gradient is NaN, which would be saved with the weights."""
    runner = toy(hooks=FINITE)
    runner.model.spoil = lambda loss: torch.sqrt(loss * 0)
    message = r'^grad_norm is nan at iteration 1 .*no checkpoint yet$'
    with pytest.raises(NotFiniteError, match=message):
        runner.train()


@pytest.fixture(scope='module')
def dataset(tmp_path_factory) -> TextVideoDataset:
    """A hundred videos with two captions each."""
    folder = tmp_path_factory.mktemp('hundred')
    names = [f'{number}.mp4' for number in range(100)]
    for name in names:
        (folder / name).touch()
    (folder / 'all.json').write_text(json.dumps({name: ['x', 'y'] for name in names}))
    videos = dict(video=str(folder))
    return TextVideoDataset(ann_file=str(folder / 'all.json'), data_prefix=videos, pipeline=())


@pytest.fixture
def runner(dataset) -> SimpleNamespace:
    """A stand-in with all that the hook reads; ``records`` has the log."""
    loader = SimpleNamespace(dataset=dataset)
    records: list[str] = []
    return SimpleNamespace(
        train_dataloader=loader,
        val_dataloader=loader,
        test_dataloader=loader,
        logger=SimpleNamespace(info=records.append, warning=records.append),
        records=records,
        iter=0,
        epoch=0,
    )


def batch(*replaced, size=4, skip=False) -> dict:
    """A batch of which some items replace the videos of the given numbers."""
    samples = []
    for numbers in (*replaced, *((),) * (size - len(replaced))):
        records = [
            dict(
                video_id=str(n), filename=f'/{n}.mp4', reason=f'reason {n}', num_texts=1, skip=skip
            )
            for n in numbers
        ]
        samples.append(ActionDataSample(metainfo=dict(bad_videos=records) if records else {}))
    return dict(inputs={}, data_samples=samples)


def run_epoch(hook, runner, *batches):
    hook.before_train_epoch(runner)
    for index, data in enumerate(batches):
        hook.after_train_iter(runner, index, data_batch=data, outputs={})
        runner.iter += 1
    hook.after_train_epoch(runner)
    runner.epoch += 1


def test_unreadable_videos_are_logged_once_and_counted_by_epoch(runner):
    hook = HOOKS.build(dict(type='BadVideosHook', max_share=0.05))
    run_epoch(hook, runner, batch(), batch([3]), batch([3], [4, 5]))
    assert runner.records == [
        'cannot read video /3.mp4: reason 3; replaced',
        'cannot read video /4.mp4: reason 4; replaced',
        'cannot read video /5.mp4: reason 5; replaced',
        'Epoch(train) [1]  replaced items: 3, unreadable videos so far: 3 of 100',
    ]
    runner.records.clear()
    run_epoch(hook, runner, batch([4]), batch())
    expected = 'Epoch(train) [2]  replaced items: 1, unreadable videos so far: 3 of 100'
    assert runner.records == [expected]
    runner.records.clear()
    run_epoch(hook, runner, batch(), batch())
    assert not runner.records


def test_too_many_unreadable_videos_end_the_run(runner):
    """More than 2 of 100 videos, however often the same videos are replaced."""
    hook = BadVideosHook(max_share=0.02)
    run_epoch(hook, runner, *[batch([1], [2])] * 50)
    with pytest.raises(BadVideosError) as caught:
        hook.after_train_iter(runner, 0, data_batch=batch([1], [7]))
    assert str(caught.value) == (
        '3 of 100 training videos are unreadable, more than max_share=0.02; fix them or remove '
        'them from the annotation\n  /1.mp4: reason 1\n  /2.mp4: reason 2\n  /7.mp4: reason 7'
    )
    default = BadVideosHook()
    default.after_train_iter(runner, 0, data_batch=batch([1]))
    with pytest.raises(BadVideosError, match='2 of 100 training videos .* max_share=0.01'):
        default.after_train_iter(runner, 0, data_batch=batch([2]))


def test_several_processes_exchange_reports_every_interval_and_at_the_end(runner, monkeypatch):
    exchanges = []
    theirs = [[], [hooks.bad_videos_of(batch([8]))]]

    def gather(mine):
        exchanges.append((runner.iter + 1, len(mine)))
        return [mine, theirs.pop(0) if theirs else []]

    monkeypatch.setattr(hooks, 'all_gather_object', gather)
    monkeypatch.setattr(hooks, 'get_world_size', lambda: 2)
    hook = BadVideosHook(interval=3, max_share=1)
    run_epoch(hook, runner, *[batch([n]) for n in range(1, 9)])
    assert exchanges == [(3, 3), (6, 3), (9, 2)]
    assert runner.records.count('cannot read video /8.mp4: reason 8; replaced') == 1
    expected = 'Epoch(train) [1]  replaced items: 9, unreadable videos so far: 8 of 100'
    assert runner.records[-1] == expected


@pytest.mark.parametrize('phase', ['val', 'test'])
def test_unreadable_videos_end_a_test_whose_metric_ignores_them(runner, phase):
    hook = BadVideosHook()
    getattr(hook, f'before_{phase}')(runner)
    after_iter = getattr(hook, f'after_{phase}_iter')
    after_iter(runner, 0, data_batch=batch([3]), outputs=[])
    after_iter(runner, 1, data_batch=batch([9], [4]), outputs=[])
    with pytest.raises(BadVideosError, match=r'3 of 200 test videos(.|\n)*/3(.|\n)*/4(.|\n)*/9'):
        getattr(hook, f'after_{phase}_epoch')(runner, metrics={})
    after_iter(runner, 0, data_batch=batch([3], skip=True), outputs=[])
    getattr(hook, f'after_{phase}_epoch')(runner, metrics={})


@pytest.mark.parametrize('phase', ['train', 'val', 'test'])
@pytest.mark.parametrize(
    'wrap',
    [
        lambda dataset: dataset,
        lambda dataset: ConcatDataset([dataset, dataset]),
        lambda dataset: SimpleNamespace(_dataset=RepeatDataset(dataset, times=2)),
    ],
)
def test_data_sets_report_to_the_hook(runner, dataset, phase, wrap):
    runner.train_dataloader.dataset = wrap(dataset)
    dataset.bad_videos_watched = False
    getattr(BadVideosHook(), f'before_{phase}')(runner)
    assert dataset.bad_videos_watched


def test_data_sets_of_other_packages_are_ignored(runner):
    runner.train_dataloader.dataset = ['a', 'list']
    hook = BadVideosHook()
    hook.before_train(runner)
    run_epoch(hook, runner, dict(inputs=1), [1, 2], None, dict(data_samples=None))
    assert not runner.records
