import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn


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

    def load(checkpoint: dict, *, resume: bool = False) -> TwoLayers:
        path = tmp_path / 'weights.pth'
        torch.save(checkpoint, path)
        runner = Runner(
            model=TwoLayers(),
            work_dir=str(tmp_path),
            load_from=str(path),
            resume=resume,
            custom_hooks=[dict(type='StrictCheckpointHook')],
            default_scope='mmaction',
            experiment_name=f'{tmp_path.name}-{resume}',
        )
        runner.load_or_resume()
        return runner.model

    return load


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize('wrapped', [True, False])
def test_weights_that_fit(load, prefix, wrapped):
    weights = {prefix + key: value for key, value in good_weights().items()}
    model = load(dict(state_dict=weights) if wrapped else weights)
    assert all((value == 0.5).all() for value in model.state_dict().values())


BAD = [
    ({'first.bias': None}, r'1 missing: first\.bias$'),
    ({'third.bias': torch.ones(1)}, r'1 unexpected: third\.bias$'),
    (
        {'first.weight': torch.ones(3, 4)},
        r'1 misshapen: first\.weight \(3, 4\) instead of \(3, 2\)',
    ),
    (
        {'first.bias': None, 'second.bias': None, 'a': torch.ones(1)},
        r'1 unexpected: a; 2 missing: first\.bias, second\.bias$',
    ),
]


@pytest.mark.parametrize(('changes', 'message'), BAD)
def test_weights_that_do_not_fit(load, changes, message):
    weights = {k: v for k, v in (good_weights() | changes).items() if v is not None}
    with pytest.raises(ValueError, match=r'weights\.pth does not fit the model: ' + message):
        load(dict(state_dict=weights))


def test_resuming_is_strict_too(load):
    weights = good_weights()
    del weights['first.bias']
    checkpoint = dict(state_dict=weights, meta=dict(epoch=1, iter=5), message_hub={})
    with pytest.raises(ValueError, match=r'weights\.pth .* 1 missing: first\.bias'):
        load(checkpoint, resume=True)


@pytest.mark.parametrize('first', ['EMAHook', 'StrictCheckpointHook'])
@pytest.mark.parametrize('wrapped', [True, False])
def test_other_hooks_see_converted_weights(tmp_path, first, wrapped):
    """EMAHook loads what it sees, without a word about keys that it does not know."""
    weights = {f'module.{key}': value for key, value in good_weights().items()}
    torch.save(dict(state_dict=weights) if wrapped else weights, tmp_path / 'weights.pth')
    hooks = [dict(type='EMAHook'), dict(type='StrictCheckpointHook')]
    runner = Runner(
        model=TwoLayers(),
        work_dir=str(tmp_path),
        load_from=str(tmp_path / 'weights.pth'),
        custom_hooks=hooks if first == 'EMAHook' else hooks[::-1],
        default_scope='mmaction',
        experiment_name=f'{tmp_path.name}-{first}',
    )
    runner.call_hook('before_run')
    runner.load_or_resume()
    (average,) = (hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook')
    for model in (runner.model, average.ema_model.module):
        assert all((value == 0.5).all() for value in model.state_dict().values())
