"""The commands of tools/data/**/README.md print what stands there."""

import re
import shlex
from pathlib import Path

import pytest

from ts2net_mm.datasets.preparation.compression import find_ffmpeg

FOLDER = Path(__file__).parents[2] / 'tools/data'
NAMES = ('msrvtt', 'msvd', 'vatex', 'lsmdc', 'activitynet', 'didemo')
PAGES = [FOLDER / 'README.md', *(FOLDER / name / 'README.md' for name in NAMES)]
# a command, and the output in the fenced block after it, if there is one
COMMAND = re.compile(r'```bash\n(python .+?)\n```\n(?:\n```\n(.+?)\n```\n)?', re.DOTALL)


def commands():
    found = []
    for page in PAGES:
        for command, output in COMMAND.findall(page.read_text(encoding='utf-8')):
            words = shlex.split(command.replace('\\\n', ' '))
            name = page.parent.name
            found.append(pytest.param(words, output, id=f'{name}-{Path(words[1]).stem}'))
    return found


@pytest.fixture(scope='module')
def folder(miniatures, load_tool, tmp_path_factory):
    """A folder with the miniatures, and MSVD prepared."""
    root = tmp_path_factory.mktemp('data')
    miniatures.main([str(root / 'data/miniature')])
    msvd = root / 'data/miniature/msvd'
    folders = [f'--annotations={msvd}/annotations', f'--videos={msvd}/videos']
    load_tool('data/msvd/prepare.py').main([*folders, f'--out={root}/data/msvd'])
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
