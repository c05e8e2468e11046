"""One line for each kind of mistake in a config that MMEngine builds."""

import re
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ts2net_mm.checkpoints import check_state_dict
from ts2net_mm.datasets.annotation import load_annotations
from ts2net_mm.engine.config_errors import explain_error

TINY = dict(type='CLIPTextEncoder', vocab_size=50, width=32, num_layers=1, num_heads=2, out_dims=16)


def explain(build, cfg: Config) -> str | None:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        build(cfg)
    return explain_error(caught.value, cfg)


def build_model(cfg: Config):
    return MODELS.build(cfg.model)


def build_loader(cfg: Config):
    return Runner.build_dataloader(cfg.train_dataloader, seed=0)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            {'model.type': 'CLIPTextEncodr'},
            r"^model: there is no model 'CLIPTextEncodr'; did you mean 'CLIPTextEncoder'\?$",
        ),
        (
            {'model.num_layer': 3},
            r"^model \(CLIPTextEncoder\) has no argument 'num_layer'; .* 'num_layers'\?$",
        ),
        ({'model.width': 'wide'}, r"^model \(CLIPTextEncoder\): TypeError: .*width='wide'"),
    ],
)
def test_models(change, message):
    cfg = Config(dict(model=dict(TINY)))
    cfg.merge_from_dict(change)
    assert re.search(message, explain(build_model, cfg) or '')


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(bath_size=2), r"^train_dataloader \(DataLoader\) has no argument 'bath_size'; did"),
        (
            dict(batch_size=2, num_workers=-1),
            r'^train_dataloader \(DataLoader\): ValueError: num_w',
        ),
    ],
)
def test_data_loaders(settings, message):
    loader = dict(dataset=[1, 2], sampler=dict(type='DefaultSampler'), **settings)
    cfg = Config(dict(train_dataloader=loader))
    assert re.search(message, explain(build_loader, cfg) or '')


@pytest.mark.parametrize(
    ('raise_it', 'expected'),
    [
        (lambda cfg: Path('no/file').read_text(), True),
        (lambda cfg: check_state_dict({}, {'key': torch.zeros(1)}), True),  # of this package
        (lambda cfg: torch.zeros(2).view(3), False),
        (lambda cfg: int('one'), False),  # a ValueError of something else
    ],
)
def test_errors_without_traceback(raise_it, expected):
    assert (explain(raise_it, Config()) is not None) == expected


class Refusing(torch.utils.data.Dataset):
    def __init__(self, path: Path) -> None:
        self.path = path

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int):
        return load_annotations(self.path)


@pytest.mark.slow
def test_error_of_a_worker_process_is_one_line(tmp_path):
    """torch adds the traceback of the worker to the message."""
    path = tmp_path / 'list.json'
    path.write_text('[]')
    loader = DataLoader(Refusing(path), num_workers=1)
    line = explain(lambda cfg: next(iter(loader)), Config())
    assert line == f'{path} holds a list, expected an object {{file name: [captions]}}'


@pytest.mark.parametrize('name', ['msrvtt', 'moving_shapes'])
def test_missing_data_names_the_tool(tmp_path, name):
    path = tmp_path / name / 'train.json'
    script = 'moving_shapes/render.py' if name == 'moving_shapes' else f'prepare.py {name}'
    line = explain(lambda cfg: load_annotations(path), Config())
    assert line is not None
    assert line.endswith(f'does not exist; tools/data/{script} makes {tmp_path / name}')
