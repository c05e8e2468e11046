"""MMAction2's own models, data sets and tools, together with the parts of this package."""

import json
import runpy
import sys
from pathlib import Path

import mmaction
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

import ts2net_mm  # noqa: F401  (as custom_imports of a config does)

clip = pytest.importorskip('clip', reason='MMAction2 asks for the package of OpenAI')

ROOT = Path(__file__).parents[2]
TOOLS = Path(mmaction.__file__).parent / '.mim/tools'
CLIP4CLIP = (
    Path(mmaction.__file__).parent / '.mim/configs/retrieval/clip4clip'
    '/clip4clip_vit-base-p32-res224-clip-pre_8xb16-u12-5e_msrvtt-9k-rgb.py'
)
PIPELINE = [
    dict(type='DecordInit'),
    dict(type='UniformSample', clip_len=4, test_mode=True),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(-1, 48)),
    dict(type='CenterCrop', crop_size=48),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='CLIPTokenize'),
    dict(type='PackActionInputs', collect_keys=('imgs', 'text')),
]
NAMED = dict(
    type='PackActionInputs', collect_keys=('imgs', 'text'), meta_keys=('filename', 'video_id')
)


@pytest.fixture(scope='module')
def videos(project) -> Path:
    """Six videos of noise in a folder, with one caption each and with two."""
    captions = json.loads((project / 'all.json').read_text())
    two = {name: value['captions'] for name, value in captions.items()}
    (project / 'two.json').write_text(json.dumps(two))
    (project / 'one.json').write_text(json.dumps({name: [own[0]] for name, own in two.items()}))
    return project


@pytest.fixture(scope='module')
def tiny_clip(tmp_path_factory) -> Path:
    """Random weights of OpenAI's CLIP, in a size that its package builds from their shapes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('clip') / 'tiny.pt'
    sizes = dict(vision_layers=1, vision_width=64, vision_patch_size=16, image_resolution=48)
    sizes |= dict(transformer_width=64, transformer_heads=1, transformer_layers=1)
    model = clip.model.CLIP(embed_dim=32, context_length=77, vocab_size=49408, **sizes)
    torch.save(model.state_dict(), path)
    return path


def loader(videos: Path, dataset: str, ann_file: str, pipeline: list, **settings) -> dict:
    paths = dict(data_root=str(videos), ann_file=ann_file, data_prefix=dict(video=''))
    return dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type=dataset, **paths, pipeline=pipeline, **settings),
    )


@pytest.fixture
def clip4clip(videos, tiny_clip, tmp_path, quick_runs):
    """Function that makes a Runner of MMAction2's CLIP4Clip config, tiny, with both metrics."""

    def make(dataset: str, ann_file: str = 'one.json', **settings) -> Runner:
        cfg = Config.fromfile(CLIP4CLIP)
        cfg.model.clip_arch = str(tiny_clip)
        for split in ('train', 'val', 'test'):
            cfg[f'{split}_dataloader'] = loader(videos, dataset, ann_file, PIPELINE, **settings)
        ours = dict(type='TextVideoRetrievalMetric', inverted_softmax=True)
        cfg.val_evaluator = cfg.test_evaluator = [dict(type='RetrievalMetric'), ours]
        cfg.param_scheduler = None
        cfg.train_cfg.max_epochs = 1
        cfg.default_hooks.checkpoint = dict(type='CheckpointHook', save_best='auto', rule='greater')
        cfg.work_dir = str(tmp_path)
        cfg.experiment_name = f'{tmp_path.name}_{dataset}'
        return Runner.from_cfg(cfg)

    return make


@pytest.mark.parametrize('dataset', ['VideoTextDataset', 'TextVideoDataset'])
def test_clip4clip_trains_and_is_measured(clip4clip, dataset):
    """On MMAction2's data set and on ours; its metric and ours tell the same."""
    runner = clip4clip(dataset)
    runner.train()
    metrics = runner.test()
    for name in ('R1', 'R5', 'R10', 'MdR', 'MnR'):
        assert metrics[f't2v/{name}'] == pytest.approx(metrics[f'retrieval/{name}'])
    assert {'v2t/R1', 't2v_dsl/R1', 'v2t_dsl/MnR'} <= metrics.keys()
    assert metrics['t2v/MnR'] > 1  # else the numbers tell little


def test_two_captions_a_video_of_which_its_tokenizer_takes_one(clip4clip):
    runner = clip4clip('TextVideoDataset', 'two.json', test_mode=True)
    with pytest.raises(ValueError, match='has 2 captions, of which CLIPTokenize keeps the first'):
        runner.test()


@pytest.fixture
def ours(videos, tmp_path, quick_runs):
    """Function that makes a Runner of the project's TS2Net with another data set."""

    def make(dataset: str, pipeline: list, **settings) -> Runner:
        cfg = Config.fromfile(videos / 'config.py')
        cfg.merge_from_dict({'model.text_encoder.context_length': 77})
        for split in ('train', 'val', 'test'):
            cfg[f'{split}_dataloader'] = loader(videos, dataset, 'two.json', pipeline, **settings)
        evaluator = dict(type='TextVideoRetrievalMetric', inverted_softmax=True)
        cfg.val_evaluator = cfg.test_evaluator = evaluator
        cfg.train_cfg = dict(type='ResumableTrainLoop', max_epochs=1)
        cfg.param_scheduler = None
        cfg.randomness = dict(seed=0)
        cfg.work_dir = str(tmp_path)
        cfg.experiment_name = f'{tmp_path.name}_{dataset}'
        return Runner.from_cfg(cfg)

    return make


def test_our_model_on_mmaction2s_data_set(ours):
    """It has an item a caption; with the file names, the numbers are those of our data set."""
    theirs = ours('VideoTextDataset', [*PIPELINE[:-1], NAMED])
    theirs.train()
    metrics = theirs.test()
    pipeline = [*PIPELINE[:-2], dict(type='TokenizeCaptions', max_words=77), NAMED]
    runner = ours('TextVideoDataset', pipeline, test_mode=True)
    runner.model.load_state_dict(theirs.model.state_dict())
    assert runner.test() == pytest.approx(metrics)


def test_its_default_packing_names_no_video(ours):
    metrics = ours('VideoTextDataset', PIPELINE).test()
    assert {'t2v/R1', 'v2t/R1', 't2v_dsl/R1'} <= metrics.keys()


@pytest.fixture
def run_tool(monkeypatch, tmp_path):
    """Function that runs one of MMAction2's tools in this process."""
    pytest.importorskip('matplotlib').use('agg')
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments: object) -> None:
        monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
        runpy.run_path(str(TOOLS / name), run_name='__main__')

    return run


@pytest.mark.parametrize('config', ['ts2net_msrvtt', 'ts2net_moving-shapes'])
def test_schedule_is_drawn(run_tool, tmp_path, config, quick_runs):
    path, curve = ROOT / 'configs' / f'{config}.py', tmp_path / 'curve.png'
    options = ('--not-show', '--dataset-size', 256, '--save-path', curve)
    epochs = ('--cfg-options', 'train_cfg.max_epochs=40') if 'shapes' in config else ()
    run_tool('visualizations/vis_scheduler.py', path, *options, *epochs)
    assert curve.stat().st_size > 1000


def test_flops_are_counted(run_tool, project, capsys):
    run_tool('analysis_tools/get_flops.py', project / 'config.py', '--shape', 6, 3, 48, 48)
    told = capsys.readouterr().out
    assert 'Input shape: (6, 3, 48, 48)' in told
    assert all(f'|  {part} ' in told for part in ('backbone', 'text_encoder', 'neck', 'head'))
