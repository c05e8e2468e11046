"""Every config builds at full size, and trains and tests at a tiny one."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

CONFIGS = Path(__file__).parents[1] / 'configs'
LEAVES = sorted(CONFIGS.glob('*.py'))

TINY = {
    'model.backbone.embed_dims': 32,
    'model.backbone.num_layers': 2,
    'model.backbone.num_heads': 2,
    'model.backbone.out_dims': 16,
    'model.backbone.shift_layers': (0, 1),
    'model.text_encoder.width': 32,
    'model.text_encoder.num_layers': 1,
    'model.text_encoder.num_heads': 2,
    'model.text_encoder.out_dims': 16,
    'model.neck.embed_dims': 16,
    'model.neck.num_samples': 10,
    'model.head.temporal.embed_dims': 16,
    'model.head.temporal.num_layers': 1,
    'model.head.temporal.num_heads': 2,
}


@pytest.fixture
def data_root(tmp_path) -> Path:
    """Four videos of two seconds with two captions each, as train, val and test split."""
    annotations = {}
    rng = np.random.default_rng(0)
    for number in range(4):
        writer = cv2.VideoWriter(
            str(tmp_path / f'{number}.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 10, (64, 48)
        )
        for _ in range(20):
            writer.write(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))
        writer.release()
        annotations[f'{number}.mp4'] = dict(
            captions=[f'clip number {number}', f'a clip called {number}'],
            meaning=str(number),
            reversal=f'{number ^ 1}.mp4',
        )
    (tmp_path / 'all.json').write_text(str(annotations).replace("'", '"'))
    return tmp_path


def tiny(path: Path, data_root: Path, work_dir: Path) -> Config:
    cfg = Config.fromfile(path)
    options = dict(TINY)
    for split in ('train', 'val', 'test'):
        loader = f'{split}_dataloader'
        options |= {
            f'{loader}.batch_size': 2,
            f'{loader}.num_workers': 0,
            f'{loader}.persistent_workers': False,
            f'{loader}.dataset.data_root': str(data_root),
            f'{loader}.dataset.ann_file': 'all.json',
            f'{loader}.dataset.data_prefix': dict(video=''),
        }
    options |= {'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1, 'model.init_cfg': None}
    if isinstance(cfg.param_scheduler, list):  # a warm-up longer than the tiny run
        cfg.param_scheduler[0].end = cfg.param_scheduler[1].begin = 1
    cfg.merge_from_dict(options)
    cfg.work_dir = str(work_dir)
    return cfg


def test_there_are_configs():
    assert {'ts2net_msrvtt', 'ts2net_vit-b16_msrvtt', 'ts2net_moving-shapes'} <= {
        path.stem for path in LEAVES
    }


@pytest.mark.parametrize('path', LEAVES, ids=lambda path: path.stem)
def test_full_size_builds(path):
    init_default_scope('mmaction')
    cfg = Config.fromfile(path)
    with torch.device('meta'):
        MODELS.build(cfg.model)


@pytest.mark.parametrize(
    ('name', 'num_patches', 'weights'),
    [('ts2net_msrvtt', 49, 164.9e6), ('ts2net_vit-b16_msrvtt', 196, 163.2e6)],
)
def test_size_of_the_paper_models(name, num_patches, weights):
    """ViT-B/32 has 151.3M parameters and ViT-B/16 149.6M; the rest is temporal and new."""
    init_default_scope('mmaction')
    with torch.device('meta'):
        model = MODELS.build(Config.fromfile(CONFIGS / f'{name}.py').model)
    assert model.backbone.pos_embed.shape[1] == 1 + num_patches
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(weights, rel=0.01)


@pytest.mark.parametrize('path', LEAVES, ids=lambda path: path.stem)
def test_trains_and_tests(path, data_root, tmp_path):
    cfg = tiny(path, data_root, tmp_path / 'work')
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert np.isfinite(runner.message_hub.get_scalar('train/loss').current())
    optimised = {
        id(p) for group in runner.optim_wrapper.optimizer.param_groups for p in group['params']
    }
    assert optimised == {id(p) for p in runner.model.parameters() if p.requires_grad}
    metrics = runner.test()
    assert {'t2v/R1', 'v2t/MnR', 't2v_dsl/R1'} <= set(metrics)


def test_distinct_videos_in_a_batch_of_msrvtt(data_root, tmp_path):
    init_default_scope('mmaction')
    cfg = tiny(CONFIGS / 'ts2net_msrvtt.py', data_root, tmp_path)
    cfg.train_dataloader.drop_last = False
    cfg.train_dataloader.batch_sampler = dict(type='DistinctGroupBatchSampler')
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    for batch in loader:
        first, second = (sample.video_id for sample in batch['data_samples'])
        assert first != second
