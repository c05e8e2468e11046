"""The wheel, installed where the repository is not to be found, from an empty folder."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from tiny import CONFIG

INHERIT = "_base_ = 'ts2net_mm::ts2net/ts2net_moving-shapes.py'"

LOOK = """
import sys
import ts2net_mm
from mmengine.config import Config
from mmengine.hub import get_config
from mmaction.registry import MODELS
cfg = get_config('ts2net_mm::ts2net/ts2net_msrvtt.py')
assert cfg.filename.startswith(sys.prefix), cfg.filename
model = MODELS.build(Config.fromfile('mine.py').model)
print(ts2net_mm.__file__, type(model).__name__)
"""

# MMEngine's own, with any config: how it finds a package, and what its checkpoint hook uses
EXPECTED_WARNINGS = (
    'pkg_resources is deprecated as an API',
    '"FileClient" will be deprecated in future',
    '"HardDiskBackend" is the alias of "LocalBackend"',
)


@pytest.fixture(scope='module')
def python(wheel, tmp_path_factory) -> Path:
    """An environment with the libraries of this one and the wheel, and without the repository."""
    folder = tmp_path_factory.mktemp('environment')
    venv.create(folder, symlinks=True)
    packages = Path(sysconfig.get_path('purelib', vars=dict(base=folder, platbase=folder)))
    # .pth files in a folder that is named in one, such as an editable installation, are not read
    (packages / 'libraries.pth').write_text(sysconfig.get_path('purelib'))
    command = [folder / 'bin/python', '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-index']
    subprocess.run([*command, f'--target={packages}', wheel], check=True, cwd=folder)
    return folder / 'bin/python'


def run(python: Path, *arguments: object, folder: Path) -> str:
    """Return what a command prints; its own import path holds nothing but the environment."""
    hidden = ('PYTHONPATH', 'VIRTUAL_ENV')
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    done = subprocess.run(
        [python, *map(str, arguments)],
        env=environment | {'OMP_NUM_THREADS': '1', 'XDG_CACHE_HOME': str(folder / 'cache')},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def warnings_of(output: str) -> list[str]:
    lines = [line for line in output.splitlines() if 'warning' in line.lower()]
    return [line for line in lines if not any(one in line for one in EXPECTED_WARNINGS)]


@pytest.mark.slow
@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason='needs an environment to borrow from')
def test_inherits_trains_tests_and_searches(python, project, tmp_path):
    (tmp_path / 'mine.py').write_text(
        re.sub('_base_ = .*', INHERIT, CONFIG).replace('DATA_ROOT', f'{project}/')
    )
    assert run(python, '-W', 'error', '-c', 'import ts2net_mm', folder=tmp_path) == ''
    output = run(python, '-c', LOOK, folder=tmp_path)
    file, model = output.splitlines()[-1].split()
    package = Path(file).parent
    assert package.is_relative_to(python.parents[1])
    assert model == 'TS2Net'
    assert warnings_of(output) == []

    tools = package / '.mim/tools'
    output = run(python, tools / 'train.py', 'mine.py', '--work-dir', 'run', folder=tmp_path)
    assert warnings_of(output) == []
    weights = tmp_path / 'run/epoch_2.pth'
    output = run(python, tools / 'test.py', 'mine.py', weights, folder=tmp_path)
    assert '| ' in output
    assert warnings_of(output) == []
    arguments = ('mine.py', weights, project, 'clip number 1', '--json', '--html', 'found.html')
    output = run(python, tools / 'search.py', *arguments, folder=tmp_path)
    assert '"hits"' in output
    assert 'data:image/jpeg' in (tmp_path / 'found.html').read_text()  # by the wheel's templates
    assert warnings_of(output) == []
