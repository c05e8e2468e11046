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
# as in the README, with neither a default scope nor a config
import numpy as np, torch
from ts2net_mm.checkpoints import config_from_state_dict, convert_state_dict
arrays = np.load('tests/data/tiny_released_weights.npz')
released = {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}
model = MODELS.build(config_from_state_dict(released))
model.load_state_dict(convert_state_dict(released))
assert model.data_preprocessor.mean.numel() == 3
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
import contextlib, io, runpy, sys
commands = eval(sys.argv[1])
for code, output, *command in commands:
    sys.argv = command
    text = io.StringIO()
    try:
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            runpy.run_path(command[0], run_name='__main__')
    except SystemExit as end:
        assert end.code == code, (command, end.code, text.getvalue())
    assert output in text.getvalue(), (command, text.getvalue())
    assert 'torch' not in sys.modules, command
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
NO_CHECKPOINT = 'error: checkpoint no.pth does not exist'
MSRVTT = 'configs/ts2net_msrvtt.py'
WRONG_PATHS = (
    (2, 'error: config no.py does not exist', 'train.py', 'no.py'),
    (2, NO_CHECKPOINT, 'test.py', MSRVTT, 'no.pth'),
    (2, '--dump x.csv must end in .pkl, ', 'test.py', MSRVTT, 'setup.cfg', '--dump', 'x.csv'),
    (2, 'folder of the --dump ', 'test.py', MSRVTT, 'setup.cfg', '--dump', '/proc/no/x.npz'),
    (1, NO_CHECKPOINT, 'search.py', MSRVTT, 'no.pth', 'tests', 'a sentence'),
    (1, NO_CHECKPOINT, 'convert_weights.py', 'no.pth', 'x.pth', '--to', 'openai'),
    (2, 'exists; --overwrite', 'convert_weights.py', 'no.pth', 'setup.py', '--to', 'openai'),
    (1, NO_CHECKPOINT, 'publish_model.py', 'no.pth', 'x.pth'),
    (2, 'x.bin must end in .pth', 'publish_model.py', 'no.pth', 'x.bin'),
    (1, 'no.npz does not exist', 'analysis/eval_matrix.py', 'no.npz'),
    (1, 'no.npz does not exist', 'analysis/hard_examples.py', 'no.npz', 'x.html'),
    (2, 'config no.py does not exist', 'data/store_frames.py', 'no.py', '--out', 'x'),
    (1, 'folder no does not exist', 'data/prepare.py', 'msrvtt', '--annotations', 'no')
    + ('--videos', 'tests', '--out', 'x'),
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


def test_help_and_wrong_paths_need_no_torch():
    helps = [(0, 'usage: ', f'tools/{tool}', '--help') for tool in TOOLS]
    wrong = [(code, output, f'tools/{tool}', *rest) for code, output, tool, *rest in WRONG_PATHS]
    run(ANSWER, [*helps, *wrong])
