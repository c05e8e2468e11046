"""Checkpoints of MMEngine under torch's restricted loading."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

from ts2net_mm.compat import allow_mmengine_checkpoints

SCORES = ('double', 'single', 'integer')


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x, mode='tensor'):
        out = self.layer(x)
        return {'loss': out.square().mean()} if mode == 'loss' else list(out.detach())


class Metric(BaseMetric):
    """Returns every kind of number that may be a best score."""

    def process(self, data_batch, data_samples):
        self.results.extend(float(sample) for sample in data_samples)

    def compute_metrics(self, results):
        value = np.mean(results)
        return {'double': value, 'single': np.float32(value), 'integer': np.int64(3)}


def make_runner(folder: Path, *, epochs: int, resume: bool) -> Runner:
    samples = [{'x': torch.tensor([float(i), 1.0])} for i in range(4)]
    loader = dict(
        dataset=samples,
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
    )
    return Runner(
        model=Model(),
        work_dir=str(folder),
        train_dataloader=loader,
        val_dataloader=loader,
        val_cfg=dict(),
        val_evaluator=[Metric(prefix='score')],
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1), clip_grad=dict(max_norm=1.0)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=2),
            dict(type='CosineAnnealingLR', T_max=4, by_epoch=False),
        ],
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=1),
            checkpoint=dict(
                type='CheckpointHook',
                interval=1,
                save_best=[f'score/{name}' for name in SCORES],
                rule='greater',
            ),
        ),
        custom_hooks=[dict(type='EMAHook')],
        resume=resume,
        experiment_name=f'{folder.name}_{epochs}',
        randomness=dict(seed=0),
        log_level='ERROR',
    )


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('run')
    make_runner(folder, epochs=2, resume=False).train()
    return folder


@pytest.fixture
def nothing_allowed():
    """Torch's own list, restored afterwards."""
    before = get_safe_globals()
    clear_safe_globals()
    yield
    clear_safe_globals()
    add_safe_globals(before)


def test_run_resumes(trained):
    runner = make_runner(trained, epochs=3, resume=True)
    runner.train()
    assert (runner.epoch, runner.iter) == (3, 6)
    losses, _ = runner.message_hub.get_scalar('train/loss').data
    assert len(losses) == 6
    scores = [runner.message_hub.get_info(f'best_score_score/{name}') for name in SCORES]
    assert [type(score) for score in scores] == [np.float64, np.float32, np.int64]


def test_torch_refuses_a_checkpoint_without_the_shim(trained, nothing_allowed):
    with pytest.raises(pickle.UnpicklingError, match='Unsupported global'):
        torch.load(trained / 'epoch_2.pth')
    allow_mmengine_checkpoints()
    history = torch.load(trained / 'epoch_2.pth')['message_hub']['log_scalars']['train/loss']
    assert isinstance(history, HistoryBuffer)
    assert history.statistics('current') == history.data[0][-1]


def test_nothing_unneeded_is_allowed(trained, nothing_allowed):
    allow_mmengine_checkpoints()
    allowed = get_safe_globals()
    unneeded = []
    for entry in allowed:
        clear_safe_globals()
        add_safe_globals([other for other in allowed if other is not entry])
        try:
            torch.load(trained / 'epoch_2.pth')
            unneeded.append(entry)
        except pickle.UnpicklingError:
            continue
    other = 'numpy.core' if np.__version__.startswith('2') else 'numpy._core'
    assert sorted(name for _, name in unneeded) == [
        f'{other}.multiarray._reconstruct',
        f'{other}.multiarray.scalar',
    ]


def test_checkpoint_of_the_other_numpy(trained, tmp_path):
    here, there = b'numpy._core.multiarray', b'numpy.core.multiarray'
    if not np.__version__.startswith('2'):
        here, there = there, here
    with zipfile.ZipFile(trained / 'epoch_2.pth') as old:
        parts = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(tmp_path / 'other.pth', 'w') as new:
        for name, content in parts.items():
            assert not name.endswith('data.pkl') or here in content
            new.writestr(name, content.replace(here, there))
    other = torch.load(tmp_path / 'other.pth')['message_hub']['log_scalars']['train/loss']
    own = torch.load(trained / 'epoch_2.pth')['message_hub']['log_scalars']['train/loss']
    np.testing.assert_array_equal(other.data, own.data)


class Calls:
    """Is pickled as a call of a function with arguments."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (Calls(getattr, HistoryBuffer, '__init__'), "attribute '__init__' of .*HistoryBuffer"),
        (Calls(getattr, HistoryBuffer, 'register_statistics'), "attribute 'register_statistics'"),
        (Calls(getattr, np.ndarray, 'min'), "attribute 'min' of .*ndarray"),
        (Calls(eval, '1'), 'Unsupported global'),
        (Calls(np.fromfile, 'x'), 'Unsupported global'),
    ],
)
def test_hostile_file_is_refused(content, message):
    file = io.BytesIO()
    torch.save({'x': content}, file)
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError, match=message):
        torch.load(file)
