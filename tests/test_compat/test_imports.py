"""Shims of imports. Most tests start new processes: a module can be imported only once."""

import importlib
import inspect
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from ts2net_mm import compat

REPOSITORY = Path(__file__).parents[2]


def run(*arguments: str, path: Path | str = '') -> subprocess.CompletedProcess[str]:
    """Run a new interpreter, which finds the packages of a folder first."""
    paths = os.pathsep.join(filter(None, (str(path), str(REPOSITORY))))
    environment = {**os.environ, 'PYTHONPATH': paths, 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def python(*arguments: str, path: Path | str = '') -> str:
    """The same, with the output as result and an assertion that it succeeds."""
    done = run(*arguments, path=path)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_importing_prints_nothing():
    # torch 2.6 leaves a temporary folder to the end of the process.
    done = run('-W', 'default', '-W', 'ignore::ResourceWarning', '-c', 'import ts2net_mm')
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_only_the_warning_of_mmcv_lite_is_hidden():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        compat.silence_mmcv_lite()
        message = 'Fail to import ``MultiScaleDeformableAttention`` from ``mmcv.ops``, install mmcv'
        warnings.warn(message, stacklevel=1)
        warnings.warn('something else', stacklevel=1)
    assert [str(warning.message) for warning in seen] == ['something else']


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Name of a module with a constant, which is not imported yet."""
    name = f'late_{tmp_path.name}'
    (tmp_path / f'{name}.py').write_text('value = 1\ndef get():\n    return value\n')
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def test_when_imported(module):
    """The function runs after the import, before names are imported from it; or now."""
    seen = []

    def replace(imported):
        seen.append(imported.value)
        imported.value = 2

    compat.when_imported(module, replace)
    compat.when_imported(module, replace)
    assert module not in sys.modules
    imported = importlib.import_module(module)
    assert (seen, imported.get()) == ([1], 2)
    importlib.reload(imported)
    assert (seen, imported.get()) == ([1, 1], 2)
    assert 'return value' in inspect.getsource(imported)
    compat.when_imported(module, lambda module: seen.append(module.__name__))
    assert seen == [1, 1, module]


def make_mmaction(folder: Path, *, complete: bool) -> Path:
    """A tiny mmaction with the imports of the real one."""
    localizers = folder / 'mmaction' / 'models' / 'localizers'
    localizers.mkdir(parents=True)
    (folder / 'mmaction' / '__init__.py').touch()
    (folder / 'mmaction' / 'models' / '__init__.py').write_text('from .localizers import DRN\n')
    (localizers / '__init__.py').write_text('from .drn.drn import DRN\n')
    if complete:
        (localizers / 'drn').mkdir()
        (localizers / 'drn' / '__init__.py').touch()
        (localizers / 'drn' / 'drn.py').write_text('class DRN:\n    origin = "the wheel"\n')
    return folder


# runs the file alone, as ts2net_mm needs the real mmaction
FIX = f'import runpy; runpy.run_path({compat.__file__!r})["fix_mmaction"]()\n'


@pytest.mark.parametrize('complete', [False, True])
def test_incomplete_mmaction_is_fixed(tmp_path, complete):
    """The whole folder is missing, or the module in it; also after a failed import."""
    path = make_mmaction(tmp_path, complete=complete)
    (tmp_path / 'mmaction/models/localizers/drn/drn.py').unlink(missing_ok=True)
    code = f"""
try:
    import mmaction.models
    raise SystemExit('mmaction.models is complete')
except ModuleNotFoundError:
    pass
{FIX}
import mmaction.models
print(mmaction.models.DRN.__name__)
"""
    assert python('-c', code, path=path) == 'DRN\n'


def test_complete_mmaction_keeps_its_own_module(tmp_path):
    code = FIX + 'from mmaction.models import DRN; print(DRN.origin)'
    assert python('-c', code, path=make_mmaction(tmp_path, complete=True)) == 'the wheel\n'


def test_other_missing_modules_stay_missing(tmp_path):
    path = make_mmaction(tmp_path, complete=False)
    with pytest.raises(AssertionError, match=r"No module named 'mmaction\.models\.localizers\.bmn"):
        python('-c', FIX + 'import mmaction.models.localizers.bmn', path=path)


def test_fixing_twice_adds_a_single_finder_at_the_end(monkeypatch):
    monkeypatch.setattr(sys, 'meta_path', [])
    compat.fix_mmaction()
    sys.meta_path.insert(0, object())
    compat.fix_mmaction()
    assert [type(finder).__name__ for finder in sys.meta_path] == ['object', '_MissingFolderFinder']
    with pytest.raises(ImportError, match=r'mmaction2/issues/2714.*git\+https'):
        compat.DRN(backbone=None)


@pytest.mark.slow
def test_installed_mmaction_builds_its_models():
    code = """
import ts2net_mm
import mmaction.models
from mmaction.registry import MODELS
print(type(MODELS.build(dict(type='TSNHead', num_classes=3, in_channels=4))).__module__)
registered = MODELS.get('DRN')
print(registered is None or registered.__module__.startswith('mmaction'))
"""
    assert python('-c', code).splitlines() == ['mmaction.models.heads.tsn_head', 'True']


@pytest.mark.slow
def test_worker_of_a_data_loader_is_fixed(tmp_path):
    (tmp_path / 'probe.py').write_text("""
from torch.utils.data import Dataset

class Probe(Dataset):
    def __init__(self, part):
        self.part = part

    def __len__(self):
        return 1

    def __getitem__(self, index):
        import mmaction.models
        return mmaction.models.DRN.__name__
""")
    # The worker runs this file again under another name, so that only unpickling imports ts2net_mm.
    (tmp_path / 'main.py').write_text("""
if __name__ == '__main__':
    from torch.utils.data import DataLoader
    from probe import Probe
    import ts2net_mm
    loader = DataLoader(
        Probe(ts2net_mm.compat.check_versions),
        num_workers=1,
        multiprocessing_context='spawn',
    )
    print(next(iter(loader)))
""")
    assert python(str(tmp_path / 'main.py'), path=tmp_path) == "['DRN']\n"


@pytest.mark.slow
def test_processes_of_a_launcher_are_fixed(tmp_path):
    (tmp_path / 'config.py').write_text("custom_imports = dict(imports=['ts2net_mm'])\n")
    (tmp_path / 'main.py').write_text("""
import os, sys
from mmengine.config import Config
Config.fromfile(sys.argv[1])
import mmaction.models
print(os.environ['RANK'], mmaction.models.DRN.__name__)
""")
    launcher = ('-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2')
    output = python(*launcher, str(tmp_path / 'main.py'), str(tmp_path / 'config.py'))
    assert sorted(output.splitlines()) == ['0 DRN', '1 DRN']


@pytest.fixture
def transformers(tmp_path):
    """Function that puts a transformers of a given content into a folder."""

    def install(modeling_utils: str) -> Path:
        package = tmp_path / 'transformers'
        package.mkdir()
        (package / '__init__.py').touch()
        (package / 'modeling_utils.py').write_text(modeling_utils)
        metadata = tmp_path / 'transformers-99.0.dist-info'
        metadata.mkdir()
        (metadata / 'METADATA').write_text('Metadata-Version: 2.1\nName: transformers\nVersion: 99')
        return tmp_path

    return install


@pytest.mark.slow
def test_multimodal_models_with_a_transformers_that_is_too_new(transformers):
    path = transformers('class PreTrainedModel: ...\n')
    code = 'import sys, mmaction.utils.dependency as d; print(d.WITH_MULTIMODAL)'
    assert python('-c', code, path=path).split()[-1] == 'True'
    code = """
import ts2net_mm, mmaction.models, mmpretrain.models
from mmaction.registry import MODELS
try:
    MODELS.build(dict(type='VindLURetrieval'))
except ImportError as error:
    print(error)
"""
    assert 'requires extra multi-modal dependencies' in python('-c', code, path=path)


@pytest.mark.slow
def test_multimodal_models_with_a_transformers_that_works(transformers):
    path = transformers('def apply_chunking_to_forward(): ...\n')
    code = 'import ts2net_mm, mmaction.utils.dependency as d; print(d.WITH_MULTIMODAL)'
    assert python('-c', code, path=path).split()[-1] == 'True'
