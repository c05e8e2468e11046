"""What `import ts2net_mm` does at once, and what waits for the first look-up."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
EARLY = """
import sys
import ts2net_mm
assert 'torch' not in sys.modules
from mmaction.registry import MODELS
assert 'ts2net_mm.parts' not in sys.modules
assert MODELS.get('TS2Net') is ts2net_mm.models.TS2Net
"""
# for those who have built something before; not a model, which needs the shims of this package
LATE = """
from mmaction.registry import DATASETS, HOOKS
from mmengine.registry import WEIGHT_INITIALIZERS
DATASETS.get('VideoDataset')
import ts2net_mm
assert 'TextVideoDataset' in DATASETS.module_dict
assert HOOKS.get('ModelConfigHook') and WEIGHT_INITIALIZERS.get('CLIPPretrained')
"""
SCOPE = """
import mmaction.registry
from mmengine.utils import get_installed_path
import ts2net_mm
from mmengine.config.utils import MODULE2PACKAGE
assert get_installed_path(MODULE2PACKAGE['ts2net_mm']) == ts2net_mm.__path__[0]
with mmaction.registry.MODELS.switch_scope_and_registry('ts2net_mm') as registry:
    assert registry.scope == 'ts2net_mm', registry
    assert registry.get('TS2Net') is registry.get('mmaction.TS2Net')
    assert registry.get('ts2net_mm.TS2Net') is registry.get('TS2Net')
"""
ANSWER = """
import runpy, sys
code = int(sys.argv.pop(1))
del sys.argv[0]
try:
    runpy.run_path(sys.argv[0], run_name='__main__')
except SystemExit as end:
    assert end.code == code
assert 'torch' not in sys.modules
"""
TOOLS = (
    'train.py',
    'test.py',
    'search.py',
    'convert_weights.py',
    'publish_model.py',
    'analysis/eval_matrix.py',
    'analysis/hard_examples.py',
    'data/check_videos.py',
    'data/compress_videos.py',
    'data/store_frames.py',
    'data/moving_shapes/render.py',
    'data/prepare.py',
)
WRONG_PATHS = (
    ('train.py', 'no.py'),
    ('test.py', 'configs/ts2net_msrvtt.py', 'no.pth'),
    ('search.py', 'configs/ts2net_msrvtt.py', 'no.pth', 'tests', 'a sentence'),
    ('convert_weights.py', 'no.pth', 'x.pth', '--to', 'openai'),
    ('publish_model.py', 'no.pth', 'x.pth'),
    ('analysis/eval_matrix.py', 'no.npz'),
    ('analysis/hard_examples.py', 'no.npz', 'x.html'),
    ('data/store_frames.py', 'no.py', '--out', 'x'),
    ('data/prepare.py', 'msrvtt', '--annotations', 'no', '--videos', 'tests', '--out', 'x'),
)


def run(code: str, *arguments: object) -> str:
    command = [sys.executable, '-c', code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize('code', [EARLY, LATE, SCOPE], ids=['early', 'late', 'scope'])
def test_parts_are_found(code):
    run(code)


@pytest.mark.parametrize('tool', TOOLS)
def test_help_needs_no_torch(tool):
    assert 'usage: ' in run(ANSWER, 0, REPOSITORY / 'tools' / tool, '--help')


@pytest.mark.parametrize('command', WRONG_PATHS, ids=lambda command: command[0])
def test_wrong_paths_need_no_torch(command):
    usage = command[0] in ('train.py', 'test.py', 'data/store_frames.py')
    run(ANSWER, 2 if usage else 1, REPOSITORY / 'tools' / command[0], *command[1:])
