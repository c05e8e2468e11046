"""The tiny model with the released weights, frozen as in the recipe; and a toy run."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from tiny import reference
from torch import nn
from torch.utils.data import Dataset

from ts2net_mm.checkpoints import config_from_state_dict, convert_state_dict


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmaction')


@pytest.fixture(scope='session')
def released_weights() -> dict[str, torch.Tensor]:
    """fp32 weights under the released names."""
    return reference('tiny_released_weights.npz')


@pytest.fixture
def model(released_weights):
    """Our model with these weights, embeddings and first LayerNorm frozen."""
    config = config_from_state_dict(released_weights)
    for part in ('backbone', 'text_encoder'):
        config[part]['frozen_stages'] = 0
    model = MODELS.build(config)
    model.load_state_dict(convert_state_dict(released_weights))
    return model


class ToyData(Dataset):
    """Ten items with noise from all generators."""

    metainfo: dict = {}

    def __init__(self, size: int = 10) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        noise = random.random() + np.random.rand() + torch.rand(1).item()
        sample = ActionDataSample(metainfo=dict(video_id=f'{index}.mp4'))
        return dict(inputs=torch.tensor([index + noise]), data_samples=sample)


class ToyModel(BaseModel):
    """A line with noise, which records every loss and batch.

    ``stop_at`` is the number of iterations after which the next one is interrupted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        nn.init.ones_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)
        self.losses: list[float] = []
        self.batches: list[list[str]] = []
        self.stop_at: int | None = None
        self.spoil = lambda loss: loss

    def forward(self, inputs, data_samples=None, mode='tensor'):
        if mode != 'loss':
            return data_samples
        if len(self.losses) == self.stop_at:
            raise KeyboardInterrupt
        noise = torch.rand(1) - random.random()
        loss = self.spoil((self.layer(torch.stack(list(inputs))) + noise).square().mean())
        self.losses.append(loss.item())
        self.batches.append([sample.video_id for sample in data_samples])
        return dict(loss=loss)


class ToyMetric(BaseMetric):
    """Takes the score of each validation from a list, and draws random numbers."""

    default_prefix = 'toy'

    def __init__(self, scores: list[float]) -> None:
        super().__init__()
        self.scores = scores

    def process(self, data_batch, data_samples) -> None:
        self.results.append(random.random())

    def compute_metrics(self, results) -> dict[str, float]:
        torch.rand(len(results))
        return dict(score=self.scores.pop(0))


@pytest.fixture
def toy(tmp_path) -> Callable[..., Runner]:
    """Function that makes a Runner of a toy with ResumableTrainLoop: 5 batches an epoch."""

    def make(
        *,
        work_dir: Path = tmp_path,
        scores: list[float] | None = None,
        size: int = 10,
        batch_size: int = 2,
        drop_last: bool = False,
        seed: int | None = 1,
        loop: str = 'ResumableTrainLoop',
        max_epochs: int = 2,
        train_cfg: dict | None = None,
        optimizer: dict | None = None,
        scheduler: dict | None = None,
        accumulative_counts: int = 1,
        hooks: tuple[dict, ...] = (),
        resume: bool = False,
        load_from: str | None = None,
        **checkpoint,
    ) -> Runner:
        loader = dict(
            dataset=ToyData(size),
            batch_size=batch_size,
            drop_last=drop_last,
            sampler=dict(type='DefaultSampler', shuffle=True),
        )
        validation = {}
        if scores is not None:
            evaluator = [ToyMetric(scores)]
            validation = dict(val_dataloader=loader, val_cfg=dict(), val_evaluator=evaluator)
        settings = dict(type='ResumableCheckpointHook', interval=1)
        return Runner(
            model=ToyModel(),
            work_dir=str(work_dir),
            train_dataloader=loader,
            train_cfg=train_cfg or dict(type=loop, max_epochs=max_epochs),
            optim_wrapper=dict(
                type='OptimWrapper',
                optimizer=optimizer or dict(type='SGD', lr=1e-3, momentum=0.9),
                clip_grad=dict(max_norm=1.0),
                accumulative_counts=accumulative_counts,
            ),
            param_scheduler=scheduler,
            default_hooks=dict(checkpoint=dict(settings, **checkpoint)),
            custom_hooks=list(hooks),
            randomness=dict(seed=seed),
            resume=resume,
            load_from=load_from,
            experiment_name=f'toy_{id(loader)}',
            default_scope='mmaction',
            **validation,
        )

    return make


@pytest.fixture
def interrupt() -> Callable[[Runner, int], None]:
    """Function that trains for some iterations and interrupts the next one."""

    def run(runner: Runner, after: int) -> None:
        runner.model.stop_at = after
        with pytest.raises(KeyboardInterrupt):
            runner.train()

    return run


@pytest.fixture
def warnings_of(monkeypatch) -> Callable[[Runner], list[str]]:
    """Function that records the warnings of a run."""

    def record(runner: Runner) -> list[str]:
        warnings: list[str] = []
        monkeypatch.setattr(runner.logger, 'warning', warnings.append)
        return warnings

    return record


@pytest.fixture
def rates_of() -> Callable[[Runner], list[float]]:
    """Function that trains and returns the learning rate of each step."""

    def train(runner: Runner) -> list[float]:
        found = []
        step = runner.model.train_step

        def record(data, optim_wrapper):
            found.append(optim_wrapper.param_groups[0]['lr'])
            return step(data, optim_wrapper)

        runner.model.train_step = record
        runner.train()
        return found

    return train
