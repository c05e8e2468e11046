import configparser
import email
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
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


@pytest.mark.parametrize('extra', ['', 'lite', 'compress', 'tensorboard', 'video', 'test', 'dev'])
def test_the_tested_set_pins_every_requirement_within_its_range(pins, extra):
    section = 'options.extras_require' if extra else 'options'
    for requirement in read_requirements(section, extra or 'install_requires'):
        if requirement.name != 'ts2net-mm':
            assert pins[requirement.name.lower().replace('_', '-')] in requirement.specifier


def test_mmcv_is_left_to_the_user():
    names = {requirement.name for requirement in read_requirements('options', 'install_requires')}
    assert not names & {'mmcv', 'mmcv-lite', 'mmcv-full'}
    (lite,) = read_requirements('options.extras_require', 'lite')
    assert lite.name == 'mmcv-lite'


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    modules = {name for name in names if '.dist-info/' not in name}
    sources = (REPOSITORY / 'ts2net_mm').rglob('*.py')
    assert modules == {path.relative_to(REPOSITORY).as_posix() for path in sources}
    assert any(name.endswith('licenses/LICENSE') for name in names)


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
    assert set(metadata.get_all('Provides-Extra')) == {'lite', 'compress', 'video', 'test', 'dev'}


def test_the_version_is_the_same_everywhere():
    changes = (REPOSITORY / 'CHANGELOG.md').read_text()
    assert changes[changes.index('\n## [') :].startswith(f'\n## [{__version__}]')
    assert f'\nversion: {__version__}\n' in (REPOSITORY / 'CITATION.cff').read_text()


def test_the_licence_is_whole():
    text = (REPOSITORY / 'LICENSE').read_text()
    assert 'Apache License' in text
    assert 'Version 2.0, January 2004' in text
    assert 'limitations under the License.' in text


SCRIPTS = sorted([*(REPOSITORY / 'tools').rglob('*.sh'), REPOSITORY / '.ci/run'])


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts_are_sound(script):
    done = subprocess.run(['bash', '-n', script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, '')
