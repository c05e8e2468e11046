"""Each data set from its official files to the table, prepared, trained on and tested by tools/."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from tiny import shrinking_options

from ts2net_mm.models import TS2Net

ROOT = Path(__file__).parents[2]
DATA_SETS = ('msrvtt', 'msvd', 'vatex', 'lsmdc', 'activitynet', 'didemo')
CONFIGS = (*DATA_SETS, 'msrvtt-7k', 'msrvtt-full')
PARAGRAPHS = ('activitynet', 'didemo')
# what the page of ActivityNet offers where the memory does not suffice
LESS_MEMORY = {
    'model.backbone.with_cp': True,
    'model.head.temporal.with_cp': True,
    'train_dataloader.batch_size': 1,
    'optim_wrapper.accumulative_counts': 2,
    'val_dataloader.batch_size': 1,
    'test_dataloader.batch_size': 1,
}


@pytest.fixture(scope='module')
def project(miniatures, load_tool, tmp_path_factory) -> Path:
    """A folder with data/ as the commands of the pages make it, missing videos left out."""
    folder = tmp_path_factory.mktemp('project')
    for name in DATA_SETS:
        mini = miniatures.MAKERS[name](folder / 'miniature' / name)
        arguments = [name, f'--annotations={mini.annotations}', f'--videos={mini.videos}']
        arguments += [f'--out={folder / "data" / name}', '--on-missing=drop']
        assert load_tool('data/prepare.py').main(arguments) == 0
    return folder


@pytest.fixture
def arguments():
    """Function that tells the arguments of a tiny run; the config's data section stays as it is."""

    def tell(name: str, *more: str, **settings: object) -> list[str]:
        path = ROOT / f'configs/ts2net_{name}.py'
        options = shrinking_options(Config.fromfile(path).model) | {'train_cfg.max_epochs': 1}
        for split in ('train', 'val', 'test'):
            loader = f'{split}_dataloader'
            options |= {f'{loader}.num_workers': 0, f'{loader}.persistent_workers': False}
            options |= {f'{loader}.batch_size': 2}
        options |= settings
        pairs = [f'{key}={value}'.replace(' ', '') for key, value in options.items()]
        return [str(path), *more, '--work-dir', f'work_dirs/{name}', '--cfg-options', *pairs]

    return tell


@pytest.fixture
def run(load_tool, monkeypatch, capsys, quick_runs):
    """Function that runs a tool on arguments here and returns what it prints."""

    def call(tool: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, 'argv', [tool, *arguments])
        capsys.readouterr()
        load_tool(tool).main()
        return capsys.readouterr().out

    return call


@pytest.fixture
def seen_sizes(monkeypatch) -> set[tuple[int, int]]:
    """Frames of a video and words of a caption that the model gets."""
    sizes = set()
    encode = TS2Net._encode

    def watch(model, inputs):
        sizes.add((inputs['imgs'].shape[1], inputs['text'].shape[1]))
        return encode(model, inputs)

    monkeypatch.setattr(TS2Net, '_encode', watch)
    return sizes


def captions_of(path: Path) -> list[int]:
    """Number of captions of each video."""
    content = json.loads(path.read_text('utf-8')).values()
    return [len(item['captions'] if isinstance(item, dict) else item) for item in content]


def check_table(output: str) -> None:
    rows = [line for line in output.splitlines() if line.startswith('| ')]
    assert [row.split('|')[1].strip() for row in rows[1:]] == [
        'text to video',
        'video to text',
        'text to video, inverted softmax',
        'video to text, inverted softmax',
    ]
    for row in rows[1:]:
        assert all(re.fullmatch(r' *\d+\.\d ', cell) for cell in row.split('|')[2:-1])


@pytest.mark.slow
@pytest.mark.parametrize('name', CONFIGS)
def test_train_and_test(project, arguments, run, seen_sizes, monkeypatch, name):
    monkeypatch.chdir(project)
    run('train.py', *arguments(name))
    checkpoint = f'work_dirs/{name}/epoch_1.pth'
    output = run('test.py', *arguments(name, checkpoint, '--dump', 'scores.npz'))
    check_table(output)
    assert seen_sizes == {(64, 64) if name in PARAGRAPHS else (12, 32)}

    cfg = Config.fromfile(ROOT / f'configs/ts2net_{name}.py')
    dataset = cfg.test_dataloader.dataset
    captions = captions_of(Path(dataset.data_root, dataset.ann_file))
    with np.load('scores.npz') as dump:
        assert dump['similarity'].shape == (sum(captions), len(captions))
        assert np.bincount(dump['video_of_text']).tolist() == captions
    positions = torch.load(checkpoint)['state_dict']['head.temporal.pos_embed']
    assert len(positions) == (256 if name in PARAGRAPHS else 77)


@pytest.mark.slow
def test_as_programs_with_less_memory(project, arguments, run_tool, monkeypatch):
    monkeypatch.chdir(project)
    for tool, *more in (('train.py', '--seed', '3'), ('test.py', 'work_dirs/didemo/epoch_1.pth')):
        code, output = run_tool(tool, *arguments('didemo', *more, **LESS_MEMORY))
        assert code == 0, output[-2000:]
    check_table(output)
