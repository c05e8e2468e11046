"""The commands of tools/data/**/README.md print what stands there, and configs read the result."""

import re
import shlex
from pathlib import Path

import pytest
from mmengine.config import Config

from ts2net_mm.preparation.compression import find_ffmpeg

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / 'tools/data'
TRAIN = 'tools/train.py'
NAMES = ('msrvtt', 'msvd', 'vatex', 'lsmdc', 'activitynet', 'didemo')
PAGES = [FOLDER / 'README.md', *(FOLDER / name / 'README.md' for name in NAMES)]
# a command, and the output in the fenced block after it, if there is one
COMMAND = re.compile(r'```bash\n(python .+?)\n```\n(?:\n```\n(.+?)\n```\n)?', re.DOTALL)


def commands_of(page):
    found = COMMAND.findall(page.read_text(encoding='utf-8'))
    return [(shlex.split(command.replace('\\\n', ' ')), output) for command, output in found]


def commands():
    return [
        pytest.param(words, output, id=f'{page.parent.name}-{Path(words[1]).stem}')
        for page in PAGES
        for words, output in commands_of(page)
        if words[1] != TRAIN
    ]


@pytest.fixture(scope='module')
def folder(miniatures, load_tool, tmp_path_factory):
    """A folder with the configs, the miniatures, and MSVD prepared."""
    root = tmp_path_factory.mktemp('data')
    (root / 'configs').symlink_to(ROOT / 'configs')
    miniatures.main([str(root / 'data/miniature')])
    msvd = root / 'data/miniature/msvd'
    folders = [f'--annotations={msvd}/annotations', f'--videos={msvd}/videos']
    load_tool('data/prepare.py').main(['msvd', *folders, f'--out={root}/data/msvd'])
    return root


def test_every_page_has_commands():
    pages = [param.id.split('-')[0] for param in commands()]
    assert set(pages) == {'data', *NAMES}


@pytest.mark.parametrize(('words', 'output'), commands())
def test_command(load_tool, folder, monkeypatch, capsys, words, output):
    if 'benchmarks' in words[1]:
        pytest.skip('its numbers are those of a machine')
    if 'compress' in words[1]:
        try:
            find_ffmpeg()
        except FileNotFoundError:
            pytest.skip('no ffmpeg in PATH or imageio-ffmpeg')
    monkeypatch.chdir(folder)
    link = Path(words[words.index('--out') + 1], 'videos') if '--out' in words else Path('none')
    link.unlink(missing_ok=True)
    assert words[0] == 'python'
    capsys.readouterr()
    code = load_tool(words[1].removeprefix('tools/')).main(words[2:])
    printed, errors = capsys.readouterr()
    assert (code, errors) == (0, '')
    if output:
        assert printed == f'{output}\n'


@pytest.mark.parametrize('name', NAMES)
def test_training_reads_what_is_prepared(name):
    words = [words for words, _ in commands_of(FOLDER / name / 'README.md')]
    prepare = next(words for words in words if words[1:3] == ['tools/data/prepare.py', name])
    ((_, _, config),) = [words for words in words if words[1] == TRAIN]
    assert config == f'configs/ts2net_{name}.py'
    out = prepare[prepare.index('--out') + 1]
    cfg = Config.fromfile(ROOT / config)
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        assert (dataset.data_root, dataset.data_prefix) == (f'{out}/', dict(video='videos'))
