"""The environment script, run with a stand-in for Python that notes what is asked of it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

# Answers as an interpreter of version $MINOR whose environment holds the distributions $HAS.
STAND_IN = r"""#!/usr/bin/env bash
if [[ $1 == --version ]]; then echo "Python 3.$MINOR"; exit; fi
if [[ $1 == -c && $2 == *version_info* ]]; then ((MINOR >= 10)); exit; fi
if [[ $1 == -c && $2 == *metadata* ]]; then [[ " $HAS " == *" $3 "* ]]; exit; fi
if [[ $1 == -c && $2 == *cv2* ]]; then [[ -z ${MISSING:-} ]]; exit; fi
if [[ $1 == - && $2 == lib* ]]; then echo "$MISSING"; exit; fi
if [[ $1 == - ]]; then for name in $HAS; do echo "$name==9.9"; done; exit; fi
if [[ $* == '-m pip --version' ]]; then exit "${NO_PIP:-0}"; fi
if [[ $* == '-m ensurepip' ]]; then exit "${NO_PIP:-0}"; fi
if [[ $* == '-m venv '* ]]; then exit 1; fi
echo "$*" >>"$LOG"
exit "${PIP_STATUS:-0}"
"""


class Tree:
    """A copy of what the script reads, and an environment of the stand-in."""

    def __init__(self, folder: Path):
        self.root = folder / 'a repository'
        self.environment = folder / 'an environment'
        self.log = folder / 'log'
        for name in ('tools/_setup_env.sh', 'setup.cfg', 'pyproject.toml'):
            (self.root / name).parent.mkdir(exist_ok=True, parents=True)
            shutil.copy(REPOSITORY / name, self.root / name)
        shutil.copytree(REPOSITORY / 'requirements', self.root / 'requirements')
        (self.environment / 'bin').mkdir(parents=True)
        python = self.environment / 'bin' / 'python'
        python.write_text(STAND_IN)
        python.chmod(0o755)

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        self.log.write_text('')
        environment = {
            'PATH': os.environ['PATH'],
            'VIRTUAL_ENV': str(self.environment),
            'LOG': str(self.log),
            'MINOR': '11',
            'HAS': '',
        }
        return subprocess.run(
            ['bash', str(self.root / 'tools/_setup_env.sh'), *arguments],
            env={**environment, **variables},
            cwd='/',
            capture_output=True,
            text=True,
            check=False,
        )

    def installed(self, *arguments: str, **variables: str) -> list[str]:
        """What a successful run handed to pip, without the options."""
        done = self.run(*arguments, **variables)
        assert done.returncode == 0, done.stderr
        calls = self.log.read_text().replace(str(self.root), 'HERE').splitlines()
        return [call.rsplit('constraints.txt ', 1)[1] for call in calls]


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def test_an_empty_environment_gets_torch_first_and_mmcv_lite(tree):
    assert tree.installed() == ['torch torchvision', '-e HERE[lite]']
    assert tree.installed('dev') == ['torch torchvision', '-e HERE[dev,lite]']


@pytest.mark.parametrize('mmcv', ['mmcv', 'mmcv-lite'])
def test_an_installed_mmcv_is_kept(tree, mmcv):
    assert tree.installed(HAS=f'torch torchvision {mmcv}') == ['-e HERE']


def test_a_missing_torchvision_is_matched_to_the_torch_that_is_there(tree):
    assert tree.installed(HAS='torch mmcv') == ['torch torchvision', '-e HERE']
    constraints = tree.environment / '.ts2net_mm-constraints.txt'
    assert constraints.read_text() == 'torch==9.9\nmmcv==9.9\n'


def test_the_second_run_does_nothing(tree):
    assert tree.installed('dev')
    assert tree.installed('dev') == []
    assert tree.installed() == []  # contained in dev


@pytest.mark.parametrize('name', ['setup.cfg', 'requirements/constraints.txt'])
def test_changed_requirements_are_installed(tree, name):
    assert tree.installed()
    with (tree.root / name).open('a') as file:
        file.write('# changed\n')
    assert tree.installed()


def test_a_failed_installation_is_tried_again(tree):
    done = tree.run(PIP_STATUS='1')
    assert done.returncode == 1
    assert 'Deactivate this environment' in done.stderr
    assert tree.installed()


def test_an_old_python_is_refused(tree):
    done = tree.run(MINOR='9')
    assert done.returncode == 1
    assert f'{tree.environment} has Python 3.9, needed is Python 3.10 or newer' in done.stderr


def test_a_failed_virtual_environment_leaves_nothing(tree):
    done = tree.run(VIRTUAL_ENV='', PYTHON=str(tree.environment / 'bin/python'))
    assert done.returncode == 1
    assert 'cannot make a virtual environment' in done.stderr
    assert not (tree.root / '.venv').exists()


def test_missing_system_libraries_are_installed_or_asked_for(tree):
    apt = tree.environment / 'bin' / 'apt-get'
    apt.write_text('#!/usr/bin/env bash\necho "apt-get $*" >>"$LOG"\n')
    apt.chmod(0o755)
    done = tree.run(MISSING='libGL.so.1 ')
    assert 'OpenCV needs system libraries that are missing: libGL.so.1' in done.stdout
    calls = tree.log.read_text().splitlines()
    if os.geteuid() == 0:
        assert calls[0] == 'apt-get update'
        assert calls[1].endswith(' libgl1 libglib2.0-0')
        assert done.returncode == 0
    else:
        assert 'sudo apt-get install libgl1 libglib2.0-0' in done.stderr
        assert (calls, done.returncode) == ([], 1)


def test_the_base_environment_of_conda_is_left_alone(tree):
    done = tree.run(
        VIRTUAL_ENV='',
        CONDA_PREFIX=str(tree.environment),
        CONDA_DEFAULT_ENV='base',
        PYTHON=str(tree.environment / 'bin/python'),
    )
    assert 'Making the virtual environment' in done.stdout
    assert tree.log.read_text() == ''
