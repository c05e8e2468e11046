"""model-index.yml, the configs and the results table of the README agree."""

import re
import runpy
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config
from modelindex.load_model_index import load

ROOT = Path(__file__).parents[1]
METAFILES = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
CONTENT = [yaml.safe_load((ROOT / path).read_text()) for path in METAFILES]
MODELS = [model for content in CONTENT for model in content['Models']]
BY_NAME = {model['Name']: model for model in MODELS}
PAPER = 'https://arxiv.org/abs/2207.07852'


def test_the_index_is_valid():
    index = load(str(ROOT / 'model-index.yml'))
    assert index.check(silent=True) == []
    index.build_models_with_collections()
    assert [model.name for model in index.models] == [model['Name'] for model in MODELS]
    assert all(model.full_model.paper['URL'] == PAPER for model in index.models)


def test_every_config_has_an_entry():
    configs = {path.stem for path in (ROOT / 'configs').glob('*.py')}
    no_results = {'clip_zero-shot', 'ts2net_moving-textures', 'ts2net_small-objects'}
    assert set(BY_NAME) == configs - no_results
    assert len(BY_NAME) == len(MODELS)


@pytest.mark.parametrize('model', MODELS, ids=lambda model: model['Name'])
def test_entry_and_config_agree(model):
    assert model['Config'] == f'configs/{model["Name"]}.py'
    assert model['In Collection'] in [
        c['Name'] for content in CONTENT for c in content['Collections']
    ]
    cfg = Config.fromfile(ROOT / model['Config'])
    metadata = model['Metadata']
    assert metadata['Batch Size'] == cfg.train_dataloader.batch_size
    assert metadata['Epochs'] == cfg.train_cfg.max_epochs
    if metadata['Architecture'].startswith('ViT-'):
        assert cfg.model.init_cfg.checkpoint == metadata['Architecture']
        assert cfg.model.backbone.patch_size == int(metadata['Architecture'][-2:])
    assert _plain(cfg.train_dataloader.dataset).startswith(_short(metadata['Training Data']))
    for result in model.get('Results', []):
        assert _plain(cfg.test_dataloader.dataset).startswith(_short(result['Dataset']))


def _plain(dataset) -> str:
    """Name and split of a data set without punctuation: msrvtt9k, movingshapestrain."""
    split = dataset.ann_file.removesuffix('.json').replace('train_', '').replace('test_', '')
    return re.sub(r'[^a-z0-9]', '', f'{dataset.data_root.removeprefix("data/")}{split}'.lower())


def _short(name: str) -> str:
    return re.sub(r'[^a-z0-9]', '', name.split(',')[0].lower())


def test_published_numbers_are_marked():
    for model in MODELS:
        assert ('Results Source' in model) == ('Results' in model), model['Name']
        if model['Metadata']['Architecture'].startswith('ViT-') and 'Results' in model:
            assert model['Results Source'] == f'the paper, {PAPER}; not trained here'


def test_the_paper_has_no_result_of_msvd():
    assert not any('Results' in BY_NAME[f'ts2net_{name}msvd'] for name in ('', 'vit-b16_'))


def test_the_readme_shows_the_table_of_the_index():
    """If not, run tools/model_table.py."""
    table = runpy.run_path(str(ROOT / 'tools/model_table.py'))['make_table']()
    assert f'\n{table}\n' in (ROOT / 'README.md').read_text(encoding='utf-8')
