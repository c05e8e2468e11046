"""Configs in MMEngine's newer ways, pure Python and scoped names, do all that plain ones do."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper

from ts2net_mm.checkpoints.settings import KEY
from ts2net_mm.engine import AutocastOptimWrapper

SCOPED = """
_base_ = './config.py'
model = dict(
    type='mmaction.TS2Net',
    backbone=dict(type='ts2net_mm.models.TokenShiftViT'),
    head=dict(type='mmaction.RetrievalHead'),
)
train_cfg = dict(max_epochs=1)
optim_wrapper = dict(type='mmengine.OptimWrapper')
test_evaluator = dict(type='mmaction.TextVideoRetrievalMetric')
custom_hooks = [
    dict(type='mmaction.StrictCheckpointHook'), dict(type='mmaction.ModelConfigHook')]
"""
# without a default scope, as its types need none
PURE = """
from mmaction.datasets.transforms import (
    CenterCrop, DecordDecode, DecordInit, FormatShape, PackActionInputs, Resize, UniformSample)
from mmengine.dataset import DefaultSampler
from mmengine.optim import OptimWrapper
from mmengine.runner import TestLoop
from torch.optim import AdamW

from ts2net_mm.datasets import TextVideoDataset, TokenizeCaptions
from ts2net_mm.engine import (
    ModelConfigHook, ResumableCheckpointHook, ResumableTrainLoop, StrictCheckpointHook)
from ts2net_mm.evaluation import TextVideoRetrievalMetric
from ts2net_mm.models import (
    CLIPTextEncoder, RetrievalHead, TemporalTransformer, TokenSelection, TokenShiftViT, TS2Net)

num_frames = 3
model = dict(
    type=TS2Net,
    backbone=dict(
        type=TokenShiftViT, embed_dims=16, num_layers=2, num_heads=2, img_size=48, patch_size=12,
        out_dims=16, shift_layers=(0, 1), num_shift_tokens=4),
    text_encoder=dict(
        type=CLIPTextEncoder, context_length=16, width=16, num_layers=1, num_heads=2, out_dims=16),
    neck=dict(type=TokenSelection, embed_dims=16, topk=2, num_samples=10),
    head=dict(
        type=RetrievalHead,
        temporal=dict(type=TemporalTransformer, embed_dims=16, num_layers=1, num_heads=2)),
)
pipeline = [
    dict(type=DecordInit),
    dict(type=UniformSample, clip_len=num_frames, test_mode=True),
    dict(type=DecordDecode),
    dict(type=Resize, scale=(-1, 48)),
    dict(type=CenterCrop, crop_size=48),
    dict(type=FormatShape, input_format='NCHW'),
    dict(type=TokenizeCaptions, max_words=16),
    dict(
        type=PackActionInputs, collect_keys=('imgs', 'text'), meta_keys=('video_id', 'captions')),
]
dataset = dict(
    type=TextVideoDataset, data_root='DATA_ROOT', ann_file='all.json', data_prefix=dict(video=''),
    pipeline=pipeline)
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type=DefaultSampler, shuffle=True), dataset=dataset)
test_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type=DefaultSampler, shuffle=False),
    dataset=dict(dataset, test_mode=True))
test_evaluator = dict(type=TextVideoRetrievalMetric)
train_cfg = dict(type=ResumableTrainLoop, max_epochs=1)
test_cfg = dict(type=TestLoop)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=AdamW, lr=1e-3))
default_hooks = dict(checkpoint=dict(type=ResumableCheckpointHook, interval=1))
custom_hooks = [dict(type=StrictCheckpointHook), dict(type=ModelConfigHook)]
"""


@pytest.mark.slow
@pytest.mark.parametrize('style', ['scoped', 'pure'])
def test_trained_and_tested_by_the_weights_alone(run_tool, project, tmp_path, style):
    text = PURE.replace('DATA_ROOT', str(project)) if style == 'pure' else SCOPED
    config = project / f'{style}.py'
    config.write_text(text)
    code, output = run_tool('train.py', config, '--work-dir', tmp_path)
    assert code == 0, output[-2000:]
    weights = tmp_path / 'epoch_1.pth'
    told = json.loads(torch.load(weights)['meta'][KEY])
    assert (told['type'], told['backbone']['type']) == ('TS2Net', 'TokenShiftViT')
    assert told['backbone']['shift_layers'] == [0, 1]

    tables = []
    for name, given in (('config', [weights]), ('weights', ['--from-weights', weights])):
        work = tmp_path / name
        arguments = (*given, '--work-dir', work, '--dump', work / 'scores.npz')
        code, output = run_tool('test.py', config, *arguments)
        assert code == 0, output[-2000:]
        tables.append([line for line in output.splitlines() if line.startswith('| ')])
    assert len(tables[0]) >= 3
    assert tables[0] == tables[1]
    scores = [
        np.load(tmp_path / name / 'scores.npz')['similarity'] for name in ('config', 'weights')
    ]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize('kind', [OptimWrapper, 'OptimWrapper', 'mmengine.OptimWrapper', None])
def test_amp_knows_the_wrapper_it_replaces(load_tool, monkeypatch, kind):
    tool = load_tool('train.py')
    monkeypatch.setattr(tool, 'has_accelerator', lambda: True)
    cfg = Config(dict(optim_wrapper={} if kind is None else dict(type=kind)))
    tool.use_mixed_precision(cfg)
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    cfg.optim_wrapper.type = AutocastOptimWrapper
    with pytest.raises(ValueError, match='--amp replaces OptimWrapper, but the config has Auto'):
        tool.use_mixed_precision(cfg)
