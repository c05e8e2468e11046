"""Settings of the command line reach everything that the config file makes of them."""

from pathlib import Path

import pytest
from mmengine.config import Config

from ts2net_mm.engine.command_line import merge_options

CONFIGS = Path(__file__).parents[2] / 'configs'
SPLITS = ('train', 'val', 'test')

BASE = """
num_frames, size = 12, 24
pipeline = [dict(type='Sample', num_frames=num_frames), dict(type='Resize', size=size)]
train_pipeline = test_pipeline = pipeline
def unused():
    num_frames = 1
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=4, dataset=dict(pipeline=test_pipeline))
"""
CHILD = """
_base_ = './base.py'
positions = _base_.num_frames * 4
model = dict(num_positions=positions)
batch_size = 2
"""
PURE = """
from mmengine.config import read_base
from mmengine.dataset import DefaultSampler
with read_base():
    from .pure_base import *
model = dict(num_positions=num_frames * 4)
train_dataloader.update(sampler=dict(type=DefaultSampler))
"""


@pytest.fixture
def configs(tmp_path) -> Path:
    """Small configs of both kinds that inherit."""
    for name, text in dict(base=BASE, child=CHILD, pure_base=BASE, pure=PURE).items():
        (tmp_path / f'{name}.py').write_text(text)
    return tmp_path


def merge(path: Path, **options) -> Config:
    return merge_options(
        Config.fromfile(path), {key.replace('__', '.'): value for key, value in options.items()}
    )


def steps(cfg: Config, step: int, key: str, splits=SPLITS) -> list:
    return [cfg[f'{split}_dataloader'].dataset.pipeline[step].get(key) for split in splits]


@pytest.mark.parametrize('name', ['ts2net_msrvtt', 'ts2net_activitynet', 'features/amp_bf16'])
def test_names_on_top_of_our_configs(name):
    cfg = merge(CONFIGS / f'{name}.py', num_frames=5, max_words=7, video_pipeline__3__size=336)
    assert steps(cfg, 1, 'num_frames') == [5, 5, 5]
    assert steps(cfg, 5, 'max_words') == [7, 7, 7]
    assert steps(cfg, 3, 'size') == [336, 336, 336]
    assert cfg.filename == str(CONFIGS / f'{name}.py')


def test_numbers_that_are_computed_follow():
    cfg = merge(CONFIGS / 'ts2net_moving-shapes.py', num_frames=5, width=32, topk=2)
    assert cfg.model.head.temporal.num_positions == 5 * (1 + 2)
    assert (cfg.model.backbone.embed_dims, cfg.model.neck.topk) == (32, 2)


@pytest.mark.parametrize('name', ['child', 'pure'])
def test_inherited_names(configs, name):
    cfg = merge(configs / f'{name}.py', num_frames=3)
    assert cfg.model.num_positions == 12
    assert steps(cfg, 0, 'num_frames', SPLITS[:2]) == [3, 3]


@pytest.mark.parametrize('name', ['child', 'pure'])
def test_a_part_of_a_name_leaves_other_names_alone(configs, name):
    cfg = merge(configs / f'{name}.py', train_pipeline__1__size=9, train_pipeline__1__mode='area')
    assert steps(cfg, 1, 'size', SPLITS[:2]) == [9, 24]
    assert steps(cfg, 1, 'mode', SPLITS[:2]) == ['area', None]


def test_settings_of_the_run_are_merged_as_in_mmengine(configs):
    options = dict(train_dataloader__batch_size=3, work_dir='here', compile__backend='inductor')
    cfg = merge(configs / 'child.py', **options)
    assert [cfg[f'{split}_dataloader'].batch_size for split in SPLITS[:2]] == [3, 4]
    assert (cfg.work_dir, cfg.compile) == ('here', dict(backend='inductor'))


def test_a_setting_of_the_run_wins_over_a_name(configs):
    options = dict(train_dataloader__dataset__pipeline__0__num_frames=2, num_frames=3)
    assert steps(merge(configs / 'child.py', **options), 0, 'num_frames', SPLITS[:2]) == [2, 3]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            dict(batch_size=3),
            'batch_size has no effect in .*child.py; did you mean '
            r'train_dataloader.batch_size, val_dataloader.batch_size\?$',
        ),
        (dict(num_frame=3), "child.py has no 'num_frame', did you mean 'num_frames'\\?"),
        (dict(pipeline__2__size=3), "child.py has no 'pipeline.2.size'"),
        (dict(pipeline__size=3), "child.py has no 'pipeline.size'"),
        (dict(pipeline=3, num_frames=None), r'cannot be read with .*num_frames=None: .*NoneType'),
    ],
)
def test_names_without_effect(configs, options, message):
    with pytest.raises(ValueError, match=message):
        merge(configs / 'child.py', **options)


def test_the_present_value_is_no_mistake(configs):
    """As in a loop over numbers of frames."""
    cfg = merge(configs / 'child.py', num_frames=12, pipeline__1__size=24, batch_size=2)
    assert cfg.to_dict() == Config.fromfile(configs / 'child.py').to_dict()


def test_a_json_config_makes_nothing_of_its_names(tmp_path):
    path = tmp_path / 'config.json'
    path.write_text('{"lr": 1, "optim_wrapper": {"optimizer": {"lr": 1}}}')
    with pytest.raises(ValueError, match=r'lr has no effect .* mean optim_wrapper\.optimizer\.lr'):
        merge(path, lr=2)
    assert merge(path, optim_wrapper__optimizer__lr=2).optim_wrapper.optimizer.lr == 2
