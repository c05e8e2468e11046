"""The order of the quickstart's steps, with a stand-in for Python that notes what it is to run."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

STAND_IN = r"""#!/usr/bin/env bash
case "$1 $2" in
    '- data/'*) exec "$REAL_PYTHON" "$@" ;;
    '-c '* | '- '* | '-m pip') exit ;;
esac
printf '%s\n' "$*" >>"$LOG"
if [[ $1 == tools/train.py ]]; then
    if [[ -n ${INTERRUPT:-} ]]; then
        echo "$4/epoch_1.pth" >"$4/last_checkpoint"
        kill -INT "$PPID" $$
    fi
    echo "/elsewhere/epoch_2.pth" >"$4/last_checkpoint"
fi
"""

VIDEOS = {
    'test/000061.mp4': {'captions': ['c'], 'meaning': 'red circle: up'},
    'test/000062.mp4': {'captions': ['d d'], 'meaning': 'x', 'reversal': 'test/000063.mp4'},
    'test/000063.mp4': {'captions': ['e e'], 'meaning': 'y', 'reversal': 'test/000062.mp4'},
}


def _heed_interrupts():
    """A shell starts background jobs, such as this test run, with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Quickstart:
    def __init__(self, folder: Path):
        self.root = folder / 'a repository'
        self.log = folder / 'log'
        for name in ('tools', 'configs', 'requirements'):
            shutil.copytree(REPOSITORY / name, self.root / name)
        for name in ('setup.cfg', 'pyproject.toml'):
            shutil.copy(REPOSITORY / name, self.root)
        (self.root / 'data/moving_shapes').mkdir(parents=True)
        (self.root / 'data/moving_shapes/test.json').write_text(json.dumps(VIDEOS))
        python = folder / 'environment/bin/python'
        python.parent.mkdir(parents=True)
        python.write_text(STAND_IN)
        python.chmod(0o755)
        self.variables = {
            'PATH': os.environ['PATH'],
            'VIRTUAL_ENV': str(folder / 'environment'),
            'REAL_PYTHON': sys.executable,
            'LOG': str(self.log),
        }

    def run(self, *arguments: str, cwd: Path | None = None, **variables: str):
        self.log.write_text('')
        return subprocess.run(
            ['bash', str(self.root / 'tools/quickstart.sh'), *arguments],
            env={**self.variables, **variables},
            cwd=cwd or self.root.parent,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=_heed_interrupts,
        )

    def steps(self, *arguments: str, **options) -> list[str]:
        done = self.run(*arguments, **options)
        assert done.returncode == 0, done.stderr
        return self.log.read_text().splitlines()


@pytest.fixture
def quickstart(tmp_path):
    return Quickstart(tmp_path)


CONFIG = 'configs/ts2net_moving-shapes.py'
TRAINING_CONFIG = 'configs/features/frame_store_moving-shapes.py'
RENDER = 'tools/data/moving_shapes/render.py --out data/moving_shapes'
STORE = f'tools/data/store_frames.py {TRAINING_CONFIG} --out data/moving_shapes/frames --format bmp'
TRAIN = f'tools/train.py {TRAINING_CONFIG} --work-dir work_dirs/quickstart --seed 0'
REPORT = [
    f'tools/test.py {CONFIG} work_dirs/quickstart/epoch_2.pth --work-dir work_dirs/quickstart/test',
    f'tools/encode.py {CONFIG} work_dirs/quickstart/epoch_2.pth data/moving_shapes/test '
    '--index work_dirs/quickstart/index --whole',
    f'tools/search.py {CONFIG} work_dirs/quickstart/epoch_2.pth work_dirs/quickstart/index d d e e '
    '--topk 5 --html work_dirs/quickstart/search.html',
]


def test_the_steps_from_any_folder_and_once_more(quickstart):
    assert quickstart.steps(cwd=Path('/')) == [RENDER, STORE, TRAIN, *REPORT]
    done = quickstart.run()
    assert quickstart.log.read_text().splitlines() == [RENDER, *REPORT]
    assert done.stdout.count('  000062.mp4: d d\n  000063.mp4: e e\n') == 1
    app = f'tools/app.py {CONFIG} work_dirs/quickstart/epoch_2.pth work_dirs/quickstart/index'
    assert done.stdout.endswith(f' {app}\n')


def test_an_interrupted_training_is_resumed(quickstart):
    done = quickstart.run(INTERRUPT='1')
    assert done.returncode == 130
    assert 'The same command continues where this one stopped.' in done.stderr
    assert quickstart.steps()[:3] == [RENDER, STORE, f'{TRAIN} --resume']


def test_a_folder_of_other_settings_is_refused(quickstart):
    quickstart.steps()
    done = quickstart.run('--work-dir', 'a repository/work_dirs/quickstart', '--seed', '1')
    assert done.returncode == 1
    assert 'was trained with another seed or other configs' in done.stderr
    with (quickstart.root / CONFIG).open('a') as file:
        file.write('# changed\n')
    assert quickstart.run().returncode == 1


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--seed', 'x'], 'error: --seed x is not a whole number'),
        (['--work-dir', ''], 'error: --work-dir needs a value'),
        (['--epochs'], 'error: unknown argument --epochs'),
    ],
)
def test_wrong_arguments_are_named(quickstart, arguments, message):
    done = quickstart.run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert quickstart.log.read_text() == ''


@pytest.mark.parametrize('script', ['quickstart.sh', 'run_tests.sh'])
def test_help_installs_nothing(quickstart, script):
    done = subprocess.run(
        ['bash', str(quickstart.root / 'tools' / script), '--help'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.startswith(f'usage: bash tools/{script}')
    assert not (quickstart.root / '.venv').exists()
