"""What only a GPU shows; skipped without one. `python -m pytest -m gpu` runs these alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.runner import Runner
from tiny import make_project, reference, shrinking_options

from ts2net_mm.checkpoints import config_from_state_dict, convert_state_dict
from ts2net_mm.models.layers import perturbed_topk

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU'),
]
ROOT = Path(__file__).parents[1]
DEVICE = 'cuda'


@pytest.fixture
def expected(monkeypatch):
    """What the released model computes, with its noise."""
    numbers = {key: value.to(DEVICE) for key, value in reference('tiny_expected.npz').items()}
    monkeypatch.setattr(perturbed_topk, 'draw_noise', lambda shape, **_: numbers['noise'])
    return numbers


@pytest.fixture
def model():
    weights = reference('tiny_released_weights.npz')
    model = MODELS.build(config_from_state_dict(weights))
    model.load_state_dict(convert_state_dict(weights))
    return model.to(DEVICE).train()


@pytest.mark.parametrize(
    ('dtype', 'tolerance'), [(None, 1e-4), (torch.bfloat16, 5e-2), (torch.float16, 1e-2)]
)
def test_loss_of_the_released_model(model, expected, dtype, tolerance):
    inputs = dict(
        imgs=expected['video'], text=expected['input_ids'], frame_mask=expected['frame_mask'].bool()
    )
    with torch.autocast(DEVICE, dtype, enabled=dtype is not None):
        loss = sum(model.loss(inputs).values())
    assert loss.item() == pytest.approx(expected['loss'].item(), rel=tolerance)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.fixture(scope='module')
def project(tmp_path_factory) -> Path:
    return make_project(tmp_path_factory.mktemp('project'), num_videos=4)


def losses(project: Path, name: str, work_dir: Path) -> list[float]:
    """Losses of an epoch of a config at a tiny size."""
    cfg = Config.fromfile(ROOT / 'configs' / name)
    data = dict(data_root=str(project), ann_file='all.json', data_prefix=dict(video=''))
    loader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=data)
    cfg.merge_from_dict(shrinking_options(cfg.model))
    cfg.merge_from_dict(dict(train_dataloader=loader, train_cfg=dict(max_epochs=1)))
    cfg.work_dir = cfg.experiment_name = str(work_dir / Path(name).stem)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.pop('save_best')
    cfg.optim_wrapper.optimizer.lr = 1e-2
    cfg.randomness = dict(seed=0)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner.message_hub.get_scalar('train/loss').data[0].tolist()


@pytest.mark.parametrize('feature', ['amp_fp16', 'amp_bf16', 'compile'])
def test_features_stay_close_to_fp32(project, tmp_path, feature):
    found = losses(project, f'features/{feature}.py', tmp_path)
    assert found == pytest.approx(losses(project, 'ts2net_msrvtt.py', tmp_path), rel=0.02)


def test_training_over_nccl(project, tmp_path):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    done = subprocess.run(
        ['bash', str(ROOT / 'tools/dist_train.sh'), str(project / 'config.py'), '1'],
        cwd=tmp_path,
        env=os.environ | dict(PATH=path, NCCL_DEBUG='VERSION'),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'NCCL version' in done.stdout
