import os
import subprocess
import sys
from pathlib import Path

import pytest

from ts2net_mm.compat import check_versions

GOOD = {
    'mmengine': ('mmengine', '0.10.7'),
    'mmcv-lite': ('mmcv', '2.1.0'),
    'mmaction2': ('mmaction', '1.2.0'),
    'mmpretrain': ('mmpretrain', '1.2.0'),
}


def install(folder: Path, distribution: str, module: str, version: str) -> None:
    """Create the files of an installed distribution as pip does."""
    add_module(folder, module, version)
    info = folder / f'{distribution.replace("-", "_")}-{version}.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(
        f'Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n'
    )


def add_module(folder: Path, module: str, version: str) -> None:
    (folder / module).mkdir(exist_ok=True)
    # importing any of the libraries fails the test
    (folder / module / '__init__.py').write_text('raise AssertionError("imported")\n')
    (folder / module / 'version.py').write_text(f"__version__ = '{version}'\n")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty site-packages in place of the real one, with the libraries forgotten."""
    standard = [path for path in sys.path if 'site-packages' not in path and path.startswith('/')]
    monkeypatch.setattr(sys, 'path', [str(tmp_path), *standard])
    for name in list(sys.modules):
        if name.split('.')[0] in {module for module, _ in GOOD.values()}:
            monkeypatch.delitem(sys.modules, name)
    return tmp_path


def install_good(site: Path, *, leave_out: str = '') -> None:
    for distribution, (module, version) in GOOD.items():
        if distribution != leave_out:
            install(site, distribution, module, version)


def test_accepted_versions_are_checked_without_an_import(site):
    install_good(site)
    check_versions()


@pytest.mark.parametrize(
    ('distribution', 'module', 'version', 'accepted'),
    [
        ('mmengine', 'mmengine', '0.9.1', '>=0.10,<1.0'),
        ('mmengine', 'mmengine', '1.0.0', '>=0.10,<1.0'),
        ('mmcv-lite', 'mmcv', '2.2.0', '>=2.0.0,<2.2.0'),
        ('mmaction2', 'mmaction', '1.3.0', '>=1.2,<1.3'),
        ('mmpretrain', 'mmpretrain', '1.1.1', '>=1.2,<1.3'),
    ],
)
def test_other_versions_are_in_the_message(site, distribution, module, version, accepted):
    install_good(site, leave_out=distribution)
    install(site, distribution, module, version)
    with pytest.raises(ImportError) as error:
        check_versions()
    message = str(error.value)
    assert f'found {distribution} {version}, accepted is {accepted}' in message
    assert f"pip install '{distribution}{accepted}'" in message
    assert message.count('found') == 1


def test_every_missing_library_is_in_the_message(site):
    install_good(site, leave_out='mmcv-lite')
    (site / 'mmcv' / '__pycache__').mkdir(parents=True)  # left behind by an uninstallation
    with pytest.raises(ImportError, match=r'- mmcv or mmcv-lite: found nothing'):
        check_versions()
    for folder in ('mmengine', 'mmaction', 'mmpretrain'):
        (site / folder / '__init__.py').unlink()
    with pytest.raises(ImportError) as error:
        check_versions()
    assert all(f"pip install '{distribution}>=" in str(error.value) for distribution in GOOD)


def test_full_mmcv_instead_of_mmcv_lite(site):
    install_good(site, leave_out='mmcv-lite')
    install(site, 'mmcv', 'mmcv', '2.1.0+pt2.4.0cu124')
    check_versions()


@pytest.mark.parametrize('leave_out', ['mmcv-lite', ''])
def test_full_mmcv_of_another_version(site, leave_out):
    """It is the recommended one where it is installed; beside mmcv-lite both must be accepted."""
    install_good(site, leave_out=leave_out)
    install(site, 'mmcv', 'mmcv', '2.2.0')
    with pytest.raises(ImportError, match=r"found mmcv 2\.2\.0, accepted.*pip install 'mmcv>="):
        check_versions()


def test_version_of_a_source_checkout(site):
    install_good(site, leave_out='mmaction2')
    add_module(site, 'mmaction', '1.2.0')
    check_versions()
    (site / 'mmaction' / 'version.py').write_text("__version__ = '1.1.0'\n")
    with pytest.raises(ImportError, match=r'found mmaction2 1\.1\.0, accepted is >=1\.2,<1\.3'):
        check_versions()
    (site / 'mmaction' / 'version.py').unlink()
    with pytest.raises(ImportError, match='found mmaction2 of unknown version'):
        check_versions()


def test_import_refuses_a_version_that_is_not_accepted(tmp_path):
    info = tmp_path / 'mmcv_lite-2.3.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: mmcv-lite\nVersion: 2.3.0\n')
    paths = os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2])))
    done = subprocess.run(
        [sys.executable, '-c', 'import ts2net_mm'],
        env=dict(os.environ, PYTHONPATH=paths),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert 'mmcv-lite 2.3.0, accepted is >=2.0.0,<2.2.0' in done.stderr
