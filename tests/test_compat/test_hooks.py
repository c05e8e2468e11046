"""Hooks of MMEngine and MMAction2 on what this package measures and loads."""

from types import SimpleNamespace

import pytest
import torch
from mmaction.engine.hooks import VisualizationHook
from mmaction.structures import ActionDataSample
from mmaction.visualization import ActionVisualizer
from mmengine.hooks import CheckpointHook, EarlyStoppingHook

from ts2net_mm.compat import extend_hooks
from ts2net_mm.engine import ResumableCheckpointHook
from ts2net_mm.evaluation.ranking import METRIC_NAMES

RULES = {name: 'less' if name in ('MdR', 'MnR') else 'greater' for name in METRIC_NAMES}


@pytest.mark.parametrize('prefix', ['t2v', 'v2t', 't2v_dsl', 't2v_qb', 'msrvtt/t2v', 'retrieval'])
@pytest.mark.parametrize(('name', 'rule'), RULES.items())
def test_rules_of_retrieval_metrics(prefix, name, rule):
    extend_hooks()
    key = f'{prefix}/{name}'
    assert EarlyStoppingHook(monitor=key).rule == rule
    for hook in (CheckpointHook, ResumableCheckpointHook):
        assert hook(save_best=key).rules == [rule]


def test_rules_of_other_metrics_do_not_change():
    extend_hooks()
    assert EarlyStoppingHook._default_less_keys == ['loss', '/MdR', '/MnR']
    with pytest.raises(ValueError, match='Cannot infer the rule for r1_score'):
        EarlyStoppingHook(monitor='r1_score')


def test_frames_of_a_batch_with_captions_are_drawn(tmp_path):
    visualizer = ActionVisualizer.get_instance(
        f'test_{id(tmp_path)}', vis_backends=[dict(type='LocalVisBackend')], save_dir=str(tmp_path)
    )
    extend_hooks()
    extend_hooks()
    hook = VisualizationHook(enable=True, interval=1)
    hook._visualizer = visualizer
    frames = torch.arange(2 * 3 * 40 * 60).reshape(2, 3, 40, 60).to(torch.uint8)
    batch = dict(inputs=dict(imgs=[frames], text=[torch.ones(1, 7)]))
    sample = ActionDataSample(metainfo=dict(filename='videos/dog.mp4'))
    hook.after_test_iter(SimpleNamespace(), 0, batch, [sample])
    drawn = sorted(path.name for path in tmp_path.rglob('*.png'))
    assert drawn == ['0.png', '1.png']
