"""Each config of configs/features trains at a tiny size, and does what it says."""

from pathlib import Path

import cv2
import pytest
import torch
from decord import VideoReader
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from tiny import shrinking_options

from ts2net_mm.engine import BertAdam

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures('quick_runs')
FEATURES = sorted((ROOT / 'configs' / 'features').glob('*.py'))


@pytest.fixture(scope='module')
def tiny(project, tmp_path_factory):
    """Function that reads a config at the size of the tests, without validation."""

    def read(path: Path) -> Config:
        cfg = Config.fromfile(path)
        data = dict(data_root=str(project), ann_file='all.json', data_prefix=dict(video=''))
        loader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=data)
        cfg.merge_from_dict(shrinking_options(cfg.model))
        cfg.merge_from_dict(dict(train_dataloader=loader, train_cfg=dict(max_epochs=1)))
        cfg.work_dir = str(tmp_path_factory.mktemp(path.stem))
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.default_hooks.checkpoint.pop('save_best')
        cfg.optim_wrapper.optimizer.lr = 1e-2
        cfg.optim_wrapper.paramwise_cfg.fp16_arithmetic = False
        cfg.randomness = dict(seed=0)
        cfg.experiment_name = cfg.work_dir
        return cfg

    return read


def train(cfg: Config) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses and final weights."""
    runner = Runner.from_cfg(cfg)
    runner.train()
    history, _ = runner.message_hub.get_scalar('train/loss').data
    return history.tolist(), {k: v.clone() for k, v in runner.model.state_dict().items()}


@pytest.fixture(scope='module')
def plain(tiny):
    init_default_scope('mmaction')
    return train(tiny(ROOT / 'configs' / 'ts2net_msrvtt.py'))


def test_every_feature_has_a_test():
    assert {path.stem for path in FEATURES} == {
        'activation_checkpointing',
        'amp_bf16',
        'amp_fp16',
        'cached_batch',
        'compile',
        'frame_folders',
        'frame_store',
        'frame_store_moving-shapes',
        'frame_store_small-objects',
        'gradient_accumulation',
        'released_masks',  # tested in test_parity.py
        'selection_health_moving-shapes',
    }


@pytest.mark.slow
def test_activation_checkpointing_changes_nothing(tiny, plain):
    cfg = tiny(ROOT / 'configs' / 'features' / 'activation_checkpointing.py')
    model = cfg.model
    parts = (model.backbone, model.text_encoder, model.head.temporal)
    assert all(part.with_cp for part in parts)
    losses, weights = train(cfg)
    assert losses == pytest.approx(plain[0], rel=1e-6)
    for name, weight in plain[1].items():
        torch.testing.assert_close(weights[name], weight, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.slow
def test_bf16_stays_close_to_fp32(tiny, plain):
    losses, weights = train(tiny(ROOT / 'configs' / 'features' / 'amp_bf16.py'))
    assert losses != plain[0]
    assert losses == pytest.approx(plain[0], rel=0.05)
    assert {weight.dtype for weight in weights.values()} == {
        weight.dtype for weight in plain[1].values()
    }


@pytest.mark.slow
def test_gradient_accumulation_steps_once_in_four_batches(tiny, monkeypatch):
    runner = Runner.from_cfg(tiny(ROOT / 'configs' / 'features' / 'gradient_accumulation.py'))
    steps = []
    step = BertAdam.step

    def step_and_note(self, *args, **kwargs):
        steps.append(runner.iter + 1)
        return step(self, *args, **kwargs)

    monkeypatch.setattr(BertAdam, 'step', step_and_note)
    runner.train()
    assert steps == [4, 5]  # and at the end, for what is left


@pytest.mark.slow
@pytest.mark.parametrize('backend', [None, 'eager'])
def test_cached_batch_changes_nothing(tiny, backend):
    """Also with a compiled model, whose last chunk has another size."""
    configs = [ROOT / 'configs' / name for name in ('ts2net_msrvtt.py', 'features/cached_batch.py')]
    plain, cached = (tiny(path) for path in configs)
    for cfg in (plain, cached):
        cfg.train_dataloader.batch_size = 5
    cached.train_cfg.chunk_size = 2
    if backend:
        cached.compile = dict(backend=backend)
    (losses, weights), (found, found_weights) = train(plain), train(cached)
    assert len(losses) > 1
    assert found == pytest.approx(losses, rel=1e-5)
    for name, weight in weights.items():
        torch.testing.assert_close(found_weights[name], weight, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.slow
def test_frames_of_a_store_change_nothing(tiny, plain, project, tmp_path, load_tool):
    path = ROOT / 'configs' / 'features' / 'frame_store.py'
    store = tmp_path / 'frames'
    options = [
        f'train_dataloader.dataset.data_root={project}',
        'train_dataloader.dataset.ann_file=all.json',
        'train_dataloader.dataset.data_prefix.video=',
    ]
    command = [str(path), '--splits', 'train', '--format', 'png', '--out', str(store)]
    assert load_tool('data/store_frames.py').main([*command, '--cfg-options', *options]) == 0
    cfg = tiny(path)
    assert cfg.train_dataloader.dataset.pipeline[0].db_path == 'data/msrvtt/frames'
    cfg.train_dataloader.dataset.pipeline[0].db_path = str(store)
    losses, weights = train(cfg)
    assert losses == plain[0]
    for name, weight in plain[1].items():
        assert torch.equal(weights[name], weight), name


@pytest.mark.slow
def test_frames_of_folders_change_nothing(tiny, plain, project, tmp_path):
    for video in project.glob('*.mp4'):
        folder = tmp_path / 'frames' / video.stem
        folder.mkdir(parents=True)
        for number, frame in enumerate(VideoReader(str(video)), start=1):
            bgr = cv2.cvtColor(frame.asnumpy(), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(folder / f'{number:06}.png'), bgr)
    cfg = tiny(ROOT / 'configs' / 'features' / 'frame_folders.py')
    dataset = cfg.train_dataloader.dataset
    dataset.data_prefix.video = str(tmp_path / 'frames')
    dataset.pipeline[0].update(fps=10, filename_tmpl='{:06}.png')
    losses, weights = train(cfg)
    assert losses == plain[0]
    for name, weight in plain[1].items():
        assert torch.equal(weights[name], weight), name


@pytest.mark.slow
def test_compiled_step(tiny, plain):
    cfg = tiny(ROOT / 'configs' / 'features' / 'compile.py')
    assert cfg.compile.backend == 'inductor'
    cfg.compile.backend = 'eager'  # traces as well, and spares the compiler's minutes
    losses, _ = train(cfg)
    assert losses == pytest.approx(plain[0], rel=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='says so without a GPU only')
def test_fp16_says_that_it_needs_a_gpu(tiny):
    with pytest.raises(AssertionError, match='only available training on gpu'):
        train(tiny(ROOT / 'configs' / 'features' / 'amp_fp16.py'))
