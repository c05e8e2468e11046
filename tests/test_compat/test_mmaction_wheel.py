"""Each test starts processes of its own: an import that succeeded once proves nothing here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ts2net_mm import compat
from ts2net_mm.compat import fix_mmaction

REPOSITORY = Path(__file__).parents[2]


def python(*arguments: str, path: tuple[Path, ...] = ()) -> str:
    """Run a fresh interpreter and give its output; a failure shows its error."""
    paths = os.pathsep.join(str(folder) for folder in (*path, REPOSITORY))
    environment = {**os.environ, 'PYTHONPATH': paths, 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_mmaction(folder: Path, *, whole: bool) -> None:
    """A tiny mmaction with the imports of the real one."""
    localizers = folder / 'mmaction' / 'models' / 'localizers'
    localizers.mkdir(parents=True)
    (folder / 'mmaction' / '__init__.py').touch()
    (folder / 'mmaction' / 'models' / '__init__.py').write_text('from .localizers import DRN\n')
    (localizers / '__init__.py').write_text('from .drn.drn import DRN\n')
    if whole:
        (localizers / 'drn').mkdir()
        (localizers / 'drn' / '__init__.py').touch()
        (localizers / 'drn' / 'drn.py').write_text('class DRN:\n    origin = "the wheel"\n')


# Loads the one module by its file, as ts2net_mm itself needs the real mmaction.
MEND = f'import runpy; runpy.run_path({compat.__file__!r})["fix_mmaction"]()\n'


def test_the_trouble_is_there_without_mending(tmp_path):
    make_mmaction(tmp_path, whole=False)
    with pytest.raises(AssertionError, match=r"No module named 'mmaction\.models\.localizers\.drn"):
        python('-c', 'import mmaction.models', path=(tmp_path,))


def test_an_incomplete_package_is_mended(tmp_path):
    make_mmaction(tmp_path, whole=False)
    code = MEND + 'from mmaction.models import DRN; print(DRN.__module__, DRN.__name__)'
    assert python('-c', code, path=(tmp_path,)).split()[1] == 'DRN'


def test_a_folder_without_its_module_is_mended(tmp_path):
    make_mmaction(tmp_path, whole=True)
    (tmp_path / 'mmaction' / 'models' / 'localizers' / 'drn' / 'drn.py').unlink()
    assert 'DRN' in python(
        '-c', MEND + 'from mmaction.models import DRN; print(DRN)', path=(tmp_path,)
    )


def test_a_whole_package_keeps_its_own(tmp_path):
    make_mmaction(tmp_path, whole=True)
    code = MEND + 'from mmaction.models import DRN; print(DRN.origin)'
    assert python('-c', code, path=(tmp_path,)) == 'the wheel\n'


def test_mending_after_a_failed_import(tmp_path):
    make_mmaction(tmp_path, whole=False)
    code = f"""
try:
    import mmaction.models
    raise SystemExit('mmaction.models is whole')
except ModuleNotFoundError:
    pass
{MEND}
import mmaction.models
print(mmaction.models.DRN.__name__)
"""
    assert python('-c', code, path=(tmp_path,)) == 'DRN\n'


def test_no_other_missing_module_is_invented(tmp_path):
    make_mmaction(tmp_path, whole=False)
    with pytest.raises(AssertionError, match=r"No module named 'mmaction\.models\.localizers\.bmn"):
        python('-c', MEND + 'import mmaction.models.localizers.bmn', path=(tmp_path,))


def test_mending_twice_adds_one_finder_at_the_end(monkeypatch):
    monkeypatch.setattr(sys, 'meta_path', [])
    fix_mmaction()
    sys.meta_path.insert(0, object())
    fix_mmaction()
    assert [type(finder).__name__ for finder in sys.meta_path] == ['object', '_MissingFolderFinder']


def test_the_placeholder_says_how_to_get_the_real_one():
    with pytest.raises(ImportError, match=r'mmaction2/issues/2714.*git\+https'):
        compat.DRN(backbone=None)


@pytest.mark.slow
def test_the_installed_mmaction_builds_its_models():
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
@pytest.mark.parametrize('start_method', ['fork', 'spawn'])
def test_a_dataloader_worker_is_mended(tmp_path, start_method):
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
    # The worker re-runs this file under another name, so only unpickling imports ts2net_mm there.
    (tmp_path / 'main.py').write_text(f"""
if __name__ == '__main__':
    from torch.utils.data import DataLoader
    from probe import Probe
    import ts2net_mm
    loader = DataLoader(
        Probe(ts2net_mm.compat.check_versions),
        num_workers=1,
        multiprocessing_context='{start_method}',
    )
    print(next(iter(loader)))
""")
    assert python(str(tmp_path / 'main.py'), path=(tmp_path,)) == "['DRN']\n"


@pytest.mark.slow
def test_the_children_of_a_launcher_are_mended(tmp_path):
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
