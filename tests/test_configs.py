"""Every config builds at full size, takes CLIP's weights, and trains and tests at a tiny size."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from tiny import reference, shrinking_options, write_data_set

from ts2net_mm.checkpoints import (
    Checkpoint,
    as_meta,
    config_from_state_dict,
    config_of,
    convert_state_dict,
    fit_weights,
    load_weights,
)
from ts2net_mm.evaluation.report import ROWS
from ts2net_mm.models.layers.lora import is_lora

CONFIGS = Path(__file__).parents[1] / 'configs'
LEAVES = sorted(path for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts)
NAMES = [path.stem for path in LEAVES]
RENDERED = ('moving-shapes', 'moving-textures', 'small-objects')
PRETRAINED = [path for path in LEAVES if not path.stem.endswith(RENDERED)]
DATA_SETS = ('msrvtt', 'msvd', 'vatex', 'lsmdc', 'activitynet', 'didemo')
SPLITS = ('train', 'val', 'test')
PARAGRAPHS = ('activitynet', 'didemo')
# test_data_sets.py trains those of the data sets, test_feature_configs.py the features
ELSEWHERE = ('ts2net_msrvtt-7k', 'ts2net_msrvtt-full', *(f'ts2net_{name}' for name in DATA_SETS))
TRAINED_HERE = [
    path for path in LEAVES if path.stem not in ELSEWHERE and 'features' not in path.parts
]
CLIP_SIZES = {'ViT-B/32': 151_277_313, 'ViT-B/16': 149_620_737}


@pytest.fixture
def data_root(tmp_path) -> Path:
    """Four videos of two seconds with two captions each, as train, val and test split."""
    write_data_set(tmp_path, num_videos=4, num_frames=20)
    return tmp_path


@pytest.fixture
def tiny(data_root, tmp_path):
    """Function that reads a config and makes its run tiny."""

    def read(path: Path) -> Config:
        cfg = Config.fromfile(path)
        options = shrinking_options(cfg.model)
        for split in SPLITS:
            loader = f'{split}_dataloader'
            options |= {
                f'{loader}.batch_size': 2,
                f'{loader}.num_workers': 0,
                f'{loader}.persistent_workers': False,
                f'{loader}.dataset.serialize_data': False,
            }
            if cfg[loader].dataset.type == 'RenderedVideoDataset':
                options[f'{loader}.dataset.num_train_videos'] = 4
                continue
            options |= {
                f'{loader}.dataset.data_root': str(data_root),
                f'{loader}.dataset.ann_file': 'all.json',
                f'{loader}.dataset.data_prefix': dict(video=''),
            }
        options |= {'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1}
        options |= {'default_hooks.checkpoint': None}
        if 'chunk_size' in cfg.train_cfg:
            options |= {'train_cfg.chunk_size': 1}
        if 'query_bank' in cfg.test_evaluator:
            options['test_evaluator.query_bank.ann_file'] = str(data_root / 'all.json')
        cfg.merge_from_dict(options)
        cfg.work_dir = str(tmp_path / 'work')
        return cfg

    return read


def build_full_size(path: Path):
    init_default_scope('mmaction')
    with torch.device('meta'):
        return MODELS.build(Config.fromfile(path).model)


def sizes_of(cfg: Config, split: str) -> tuple[int, int]:
    """Frames and words of an item."""
    steps = {step.type: step for step in cfg[f'{split}_dataloader'].dataset.pipeline}
    return steps['SampleFramesByRate'].num_frames, steps['TokenizeCaptions'].max_words


def test_there_are_configs():
    expected = {f'ts2net_{model}{data}' for model in ('', 'vit-b16_') for data in DATA_SETS}
    expected |= {f'ts2net_{name}' for name in (*RENDERED, 'msrvtt-7k', 'msrvtt-full')}
    expected |= {f'clip4clip_{kind}_msrvtt' for kind in ('meanp', 'seqtransf', 'seqlstm')}
    assert expected <= set(NAMES)
    assert len(NAMES) == len(set(NAMES))


def test_ablations_are_of_msrvtt_and_moving_shapes():
    """A variant of a part is a few lines for each of the two data sets."""
    variants = [path for path in LEAVES if path.parent.parent.name == 'ablations']
    names = {data: set() for data in ('msrvtt', 'moving-shapes')}
    for path in variants:
        assert len(path.read_text().splitlines()) <= 10, path
        variant, data = path.stem.rsplit('_', 1)
        names[data].add((path.parent.name, variant))
    assert names['msrvtt'] == names['moving-shapes']
    assert len(variants) >= 60


@pytest.mark.parametrize('path', LEAVES, ids=lambda path: path.stem)
def test_full_size_builds(path):
    build_full_size(path)


@pytest.mark.parametrize('path', LEAVES, ids=lambda path: path.stem)
def test_a_checkpoint_builds_its_model_again(path):
    """Without the config file, also where defaults are not written and shapes show nothing."""
    cfg = Config.fromfile(path)
    built = build_full_size(path)
    content = dict(state_dict=built.state_dict(), meta=as_meta(cfg.model))
    with torch.device('meta'):
        again = MODELS.build(config_of(Checkpoint.from_content(content, path.stem)))
    assert settings_of(again) == settings_of(built)


def settings_of(model) -> dict:
    """Plain attributes of all parts but the loss; those of the training are not compared."""
    training = ('init_cfg', 'frozen_stages', 'frozen', 'start_from_clip', 'with_cp', 'training')
    plain = (bool, int, float, str, tuple, frozenset, type(None))
    return {
        name: (
            type(part),
            {k: v for k, v in vars(part).items() if isinstance(v, plain) and k not in training},
        )
        for name, part in model.named_modules()
        if not name.startswith(('head.loss_module', 'data_preprocessor'))
    }


@pytest.mark.parametrize('model', CLIP_SIZES)
@pytest.mark.parametrize('data', DATA_SETS)
def test_size_of_the_paper_models(model, data):
    """CLIP, four temporal blocks with their positions, and the scores of the selection."""
    name = f'ts2net_{"" if model == "ViT-B/32" else "vit-b16_"}{data}'
    built = build_full_size(CONFIGS / f'{name}.py')
    assert built.backbone.pos_embed.shape[1] == 1 + (224 // int(model[-2:])) ** 2
    positions = 256 if data in PARAGRAPHS else 77
    assert len(built.head.temporal.pos_embed) == positions
    temporal = 4 * (12 * 512**2 + 13 * 512) + positions * 512
    selection = 2 * 512 + 2 * 512 * 256 + 256
    weights = sum(parameter.numel() for parameter in built.parameters())
    assert weights == CLIP_SIZES[model] + temporal + selection


@pytest.mark.parametrize('data', DATA_SETS)
def test_protocol_of_the_paper(data):
    size = (64, 64) if data in PARAGRAPHS else (12, 32)
    for path in LEAVES:
        if data not in path.stem:
            continue
        cfg = Config.fromfile(path)
        assert {sizes_of(cfg, split) for split in ('train', 'val', 'test')} == {size}
        assert cfg.train_dataloader.batch_size * 8 == 128 == cfg.auto_scale_lr.base_batch_size
        assert cfg.train_cfg.max_epochs == 5
        assert (cfg.val_dataloader.dataset.test_mode, cfg.test_dataloader.dataset.test_mode) == (
            True,
            True,
        )
        if path.parent.name != 'normalisation':
            inverted = dict(type='TextVideoRetrievalMetric', inverted_softmax=True)
            assert cfg.test_evaluator == inverted
        temporal = cfg.model.head.temporal
        if temporal and temporal.type == 'TemporalTransformer':
            neck = cfg.model.neck
            assert temporal.num_positions >= size[0] * (1 + neck.get('topk', 0))


@pytest.mark.parametrize(
    ('name', 'splits'),
    [
        ('msrvtt', ('train_9k', 'test_1ka', 'test_1ka')),
        ('msrvtt-7k', ('train_7k', 'test_1ka', 'test_1ka')),
        ('msrvtt-full', ('train_7k', 'test_full', 'test_full')),
        ('activitynet', ('train', 'test', 'test')),
        *((name, ('train', 'val', 'test')) for name in ('msvd', 'vatex', 'lsmdc', 'didemo')),
    ],
)
def test_splits(name, splits):
    cfg = Config.fromfile(CONFIGS / f'ts2net_{name}.py')
    found = [cfg[f'{split}_dataloader'].dataset.ann_file for split in ('train', 'val', 'test')]
    assert found == [f'{split}.json' for split in splits]


@pytest.mark.parametrize('path', PRETRAINED, ids=lambda path: path.stem)
def test_clip_fits(path, log_records):
    """CLIP's weights fill every part that CLIP has, whatever the rest of the model is."""
    model = build_full_size(path)
    name = Config.fromfile(path).model.init_cfg.checkpoint.replace('/', '-')
    settings = open_clip.get_model_config(name)
    with torch.device('meta'):
        clip = open_clip.model.CLIP(**settings, quick_gelu=True)
    fitted = fit_weights(model, Checkpoint.from_content(clip.state_dict(), name))
    unfilled = model.state_dict().keys() - fitted.keys()
    new = {key.split('.')[0] for key in unfilled if not is_lora(key)}
    assert new <= {'neck', 'head'}
    from_text = getattr(model.head.temporal, 'start_from_clip', False)
    assert ('head.temporal.pos_embed' in fitted) == from_text
    told = '\n'.join(record.getMessage() for record in log_records)
    positions = len(model.head.temporal.pos_embed) if from_text else 77
    stretched = f'temporal positions stretched from 77 to {positions}' in told
    assert stretched == (positions != 77)


def test_released_weights_in_a_model_of_64_frames(log_records):
    """They give what stretching their 77 positions for each video gives."""
    weights = reference('tiny_released_weights.npz')
    cfg = config_from_state_dict(weights)
    as_released = MODELS.build(cfg).eval()
    as_released.load_state_dict(convert_state_dict(weights))
    positions = Config.fromfile(CONFIGS / 'ts2net_activitynet.py').model.head.temporal.num_positions
    cfg['head']['temporal'] |= dict(num_positions=positions, stretch_positions=False)
    longer = MODELS.build(cfg).eval()
    load_weights(longer, Checkpoint.from_content(weights, 'released.bin'))
    torch.manual_seed(0)
    imgs, mask = torch.randn(1, 64, 3, 56, 56), (torch.arange(64) < 50)[None]
    with torch.no_grad():
        expected = as_released.encode_video(imgs, mask)[mask]
        torch.testing.assert_close(longer.encode_video(imgs, mask)[mask], expected)
    told = [record.getMessage() for record in log_records]
    assert any('temporal positions stretched from 77 to 256' in message for message in told)


@pytest.mark.slow
@pytest.mark.parametrize('path', TRAINED_HERE, ids=lambda path: path.stem)
def test_trains_and_tests(path, tiny, quick_runs):
    runner = Runner.from_cfg(tiny(path))
    runner.train()
    assert np.isfinite(runner.message_hub.get_scalar('train/loss').current())
    groups = runner.optim_wrapper.optimizer.param_groups
    optimised = {id(p) for group in groups for p in group['params'] if p.requires_grad}
    assert optimised == {id(p) for p in runner.model.parameters() if p.requires_grad}
    metrics = runner.test()
    assert {'t2v/R1', 'v2t/MnR', 't2v_dsl/R1'} <= set(metrics)
    if path.parent.name == 'normalisation':
        bank, sinkhorn = 'bank' in path.stem, 'sinkhorn' in path.stem
        found = {row for row in ROWS if f'{row}/R1' in metrics}
        asked = {'t2v_qb': bank, 't2v_sinkhorn': sinkhorn, 'v2t_sinkhorn': sinkhorn}
        asked |= {'t2v_qb_sinkhorn': bank and sinkhorn}
        assert found >= {row for row, is_asked in asked.items() if is_asked}
        assert found.isdisjoint(row for row, is_asked in asked.items() if not is_asked)


def test_distinct_videos_in_a_batch_of_msrvtt(tiny):
    init_default_scope('mmaction')
    cfg = tiny(CONFIGS / 'ts2net_msrvtt.py')
    cfg.train_dataloader.drop_last = False
    cfg.train_dataloader.batch_sampler = dict(type='DistinctGroupBatchSampler')
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    for batch in loader:
        first, second = (sample.video_id for sample in batch['data_samples'])
        assert first != second


def test_a_query_bank_needs_no_more_than_its_file(tiny, data_root, quick_runs):
    cfg = tiny(CONFIGS / 'ts2net_msrvtt.py')
    cfg.test_evaluator.query_bank = dict(ann_file=str(data_root / 'all.json'))
    assert 't2v_qb/R1' in Runner.from_cfg(cfg).test()
