import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def run(code: str, path: str = '') -> subprocess.CompletedProcess:
    environment = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join(filter(None, (path, str(REPOSITORY)))),
    }
    # torch 2.6 leaves a temporary folder to the end of the process.
    command = [sys.executable, '-W', 'default', '-W', 'ignore::ResourceWarning', '-c', code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_importing_prints_nothing():
    done = run('import ts2net_mm')
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_importing_refuses_a_version_that_is_not_accepted(tmp_path):
    info = tmp_path / 'mmcv_lite-2.3.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: mmcv-lite\nVersion: 2.3.0\n')
    done = run('import ts2net_mm', path=str(tmp_path))
    assert done.returncode == 1
    assert 'ImportError' in done.stderr
    assert 'mmcv-lite 2.3.0, accepted is >=2.0.0,<2.2.0' in done.stderr
