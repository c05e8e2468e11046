import configparser
import email
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from mmengine.fileio import load
from packaging.requirements import Requirement

from ts2net_mm.version import __version__

REPOSITORY = Path(__file__).parents[1]


def read_requirements(section: str, key: str) -> list[Requirement]:
    parser = configparser.RawConfigParser()
    parser.read(REPOSITORY / 'setup.cfg')
    return [Requirement(line) for line in parser[section][key].splitlines() if line]


@pytest.fixture(scope='module')
def pins() -> dict[str, str]:
    """Name and version of each line of the constraints file."""
    lines = (REPOSITORY / 'requirements/constraints.txt').read_text().splitlines()
    requirements = [Requirement(line) for line in lines if not line.startswith('#')]
    versions = {}
    for requirement in requirements:
        (specifier,) = requirement.specifier
        assert specifier.operator == '==', requirement
        versions[requirement.name.lower()] = specifier.version
    assert len(versions) == len(requirements)
    return versions


def files(folder: str, pattern: str) -> list[Path]:
    paths = (REPOSITORY / folder).rglob(pattern)
    ignored = ('__pycache__', '.mim')
    return [path for path in paths if path.is_file() and not {*ignored} & {*path.parts}]


@pytest.mark.parametrize(
    'extra',
    ['', 'lite', 'app', 'compress', 'lora', 'milvus', 'tensorboard', 'onnx', 'docs', 'test', 'dev'],
)
def test_the_tested_set_pins_every_requirement_within_its_range(pins, extra):
    section = 'options.extras_require' if extra else 'options'
    for requirement in read_requirements(section, extra or 'install_requires'):
        if requirement.name != 'ts2net-mm':
            assert pins[requirement.name.lower().replace('_', '-')] in requirement.specifier


def test_pre_commit_runs_the_pinned_ruff(pins):
    hooks = load(REPOSITORY / '.pre-commit-config.yaml')['repos'][0]
    assert hooks['repo'].endswith('/ruff-pre-commit')
    assert hooks['rev'] == f'v{pins["ruff"]}'


def test_mmcv_is_left_to_the_user():
    names = {requirement.name for requirement in read_requirements('options', 'install_requires')}
    assert not names & {'mmcv', 'mmcv-lite', 'mmcv-full'}
    (lite,) = read_requirements('options.extras_require', 'lite')
    assert lite.name == 'mmcv-lite'


@pytest.mark.slow
def test_the_wheel_holds_package_configs_and_tools_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    patterns = ('*.py', '*.html', '*.css', '*.js', '*.svg')
    sources = [path for pattern in patterns for path in files('ts2net_mm', pattern)]
    expected = {path.relative_to(REPOSITORY).as_posix() for path in sources}
    inside = 'ts2net_mm/.mim'
    for path in files('configs', '*'):
        expected.add(f'{inside}/configs/ts2net/{path.relative_to(REPOSITORY / "configs")}')
    for path in files('tools', '*'):
        expected.add(f'{inside}/{path.relative_to(REPOSITORY)}')
    expected |= {'ts2net_mm/py.typed', f'{inside}/model-index.yml'}
    assert {name for name in names if '.dist-info/' not in name} == expected
    assert any(name.endswith('licenses/LICENSE') for name in names)


@pytest.mark.slow
def test_the_model_index_of_the_wheel_names_its_configs(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    folder = tmp_path / 'ts2net_mm/.mim'
    (metafile,) = load(folder / 'model-index.yml')['Import']
    models = load(folder / metafile)['Models']
    assert len(models) == len(load(REPOSITORY / 'configs/metafile.yml')['Models'])
    for model in models:
        assert (folder / model['Config']).is_file(), model['Config']


@pytest.mark.slow
def test_the_source_distribution_is_whole(build):
    with tarfile.open(build('sdist')) as archive:
        names = {name.partition('/')[2] for name in archive.getnames()}
    for folder in ('ts2net_mm', 'configs', 'tools', 'docs', 'tests', 'requirements'):
        missing = {str(path.relative_to(REPOSITORY)) for path in files(folder, '*')} - names
        assert not missing
    assert {'CHANGELOG.md', 'CITATION.cff', 'LICENSE', 'README.md', 'setup.py'} <= names
    assert not [name for name in names if '.mim' in name]


@pytest.mark.slow
def test_an_editable_installation_links_the_configs(sources):
    code = "from setuptools.build_meta import build_editable; build_editable('out/editable')"
    subprocess.run([sys.executable, '-c', code], cwd=sources, check=True, capture_output=True)
    folder = sources / 'ts2net_mm/.mim'
    config = sources / 'configs/ts2net_msrvtt.py'
    assert (folder / 'configs/ts2net/ts2net_msrvtt.py').resolve() == config.resolve()
    assert (folder / 'tools/train.py').resolve() == (sources / 'tools/train.py').resolve()
    (metafile,) = load(folder / 'model-index.yml')['Import']
    assert (folder / load(folder / metafile)['Models'][0]['Config']).is_file()


@pytest.mark.slow
def test_the_metadata_of_the_wheel(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith('.dist-info/METADATA'))
    metadata = email.message_from_bytes(archive.read(name))
    assert metadata['Name'] in ('ts2net-mm', 'ts2net_mm')
    assert metadata['Version'] == __version__
    assert metadata['Requires-Python'] == '>=3.10'
    assert metadata['Description-Content-Type'] == 'text/markdown'
    assert 'Apache-2.0' in (metadata['License'] or metadata['License-Expression'])
    extras = {'lite', 'app', 'compress', 'lora', 'milvus', 'tensorboard', 'onnx'}
    extras |= {'docs', 'test', 'dev'}
    assert set(metadata.get_all('Provides-Extra')) == extras


def test_the_version_is_the_same_everywhere():
    changes = (REPOSITORY / 'CHANGELOG.md').read_text()
    assert changes[changes.index('\n## [') :].startswith(f'\n## [{__version__}]')
    assert f'\nversion: {__version__}\n' in (REPOSITORY / 'CITATION.cff').read_text()


SCRIPTS = sorted([*(REPOSITORY / 'tools').rglob('*.sh'), REPOSITORY / '.ci/run'])


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts_are_sound(script):
    done = subprocess.run(['bash', '-n', script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, '')
