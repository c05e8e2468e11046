import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / 'tools/data/moving_shapes/render.py'


def _command(*arguments):
    return [sys.executable, str(SCRIPT), *map(str, arguments)]


def _environment():
    paths = [str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])]
    return os.environ | {'PYTHONPATH': os.pathsep.join(paths)}


def _run(*arguments):
    return subprocess.run(
        _command(*arguments), env=_environment(), capture_output=True, text=True, timeout=300
    )


def test_help_names_the_options():
    result = _run('--help')
    assert result.returncode == 0
    for option in ('--out', '--seed', '--train-videos', '--workers'):
        assert option in result.stdout


@pytest.mark.slow
def test_render_again_and_with_another_seed(tmp_path):
    arguments = ('--out', tmp_path, '--train-videos', 2, '--workers', 2)
    first = _run(*arguments)
    assert first.returncode == 0, first.stderr
    assert '2 train, 200 val, 200 test videos; 402 rendered' in first.stdout
    assert '0 rendered' in _run(*arguments).stdout
    other = _run(*arguments, '--seed', 1)
    assert other.returncode == 1
    assert other.stderr.startswith('error: ')
    assert 'seed=0' in other.stderr
    assert 'Traceback' not in other.stderr


def _heed_interrupts():
    """A shell starts background jobs, such as this test run, with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='looks at /proc')
@pytest.mark.parametrize('signal_number', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_rendering_goes_on(tmp_path, signal_number):
    arguments = ('--out', tmp_path, '--train-videos', 800, '--workers', 2)
    process = subprocess.Popen(
        _command(*arguments),
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_heed_interrupts,
    )
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob('train/*.mp4'))) < 100:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    if signal_number == signal.SIGINT:  # as a terminal does, to the whole group
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal_number)
    _, errors = process.communicate(timeout=60)
    if signal_number == signal.SIGINT:
        assert process.returncode == 130
        assert errors == 'interrupted; the same command goes on where this one stopped\n'
    assert 'Traceback' not in errors
    while _members(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not (tmp_path / 'dataset.json').exists()

    result = _run(*arguments)
    assert result.returncode == 0, result.stderr
    settings = json.loads((tmp_path / 'dataset.json').read_text())
    assert settings['videos'] == {'train': 800, 'val': 200, 'test': 200}
    assert len(list(tmp_path.glob('*/*.mp4'))) == 1200
    assert not (tmp_path / '.rendering').exists()


def _members(session):
    """Processes of a session that still run."""
    members = []
    for status in Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = status.read_text().rsplit(')', 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] != 'Z':
            members.append(int(status.parent.name))
    return members
