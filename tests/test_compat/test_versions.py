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
    """Lay out an installed distribution as pip does."""
    add_module(folder, module, version)
    info = folder / f'{distribution.replace("-", "_")}-{version}.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(
        f'Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n'
    )


def add_module(folder: Path, module: str, version: str) -> None:
    (folder / module).mkdir(exist_ok=True)
    # Importing any of the libraries would end the test.
    (folder / module / '__init__.py').write_text('raise AssertionError("imported")\n')
    (folder / module / 'version.py').write_text(f"__version__ = '{version}'\n")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty site-packages in place of the real one, with the libraries forgotten."""
    monkeypatch.setattr(sys, 'path', [str(tmp_path), *_standard_library()])
    for name in list(sys.modules):
        if name.split('.')[0] in {module for module, _ in GOOD.values()}:
            monkeypatch.delitem(sys.modules, name)
    return tmp_path


def _standard_library() -> list[str]:
    return [entry for entry in sys.path if 'site-packages' not in entry and entry.startswith('/')]


def install_good(site: Path, *, leave_out: str = '') -> None:
    for distribution, (module, version) in GOOD.items():
        if distribution != leave_out:
            install(site, distribution, module, version)


def test_accepted_versions_pass_without_importing_anything(site):
    install_good(site)
    check_versions()


@pytest.mark.parametrize(
    ('distribution', 'module', 'version', 'accepted'),
    [
        ('mmengine', 'mmengine', '0.9.1', '>=0.10,<1.0'),
        ('mmengine', 'mmengine', '1.0.0', '>=0.10,<1.0'),
        ('mmcv-lite', 'mmcv', '1.7.2', '>=2.0.0,<2.2.0'),
        ('mmcv-lite', 'mmcv', '2.2.0', '>=2.0.0,<2.2.0'),
        ('mmaction2', 'mmaction', '0.24.1', '>=1.2,<1.3'),
        ('mmaction2', 'mmaction', '1.3.0', '>=1.2,<1.3'),
        ('mmpretrain', 'mmpretrain', '1.1.1', '>=1.2,<1.3'),
    ],
)
def test_other_versions_are_named(site, distribution, module, version, accepted):
    install_good(site, leave_out=distribution)
    install(site, distribution, module, version)
    with pytest.raises(ImportError) as error:
        check_versions()
    message = str(error.value)
    assert f'found {distribution} {version}, accepted is {accepted}' in message
    assert f"pip install '{distribution}{accepted}'" in message
    assert message.count('found') == 1


@pytest.mark.parametrize('distribution', list(GOOD))
def test_a_missing_library_is_named_with_the_command(site, distribution):
    install_good(site, leave_out=distribution)
    with pytest.raises(ImportError, match=f"found nothing.*pip install '{distribution}>="):
        check_versions()


def test_every_problem_is_in_one_message(site):
    with pytest.raises(ImportError) as error:
        check_versions()
    assert all(f"pip install '{distribution}" in str(error.value) for distribution in GOOD)


def test_a_folder_left_by_an_uninstalled_library_is_no_library(site):
    install_good(site, leave_out='mmcv-lite')
    (site / 'mmcv' / '__pycache__').mkdir(parents=True)
    with pytest.raises(ImportError, match='mmcv or mmcv-lite: found nothing'):
        check_versions()


@pytest.mark.parametrize('version', ['2.0.0', '2.1.0', '2.1.0+pt2.4.0cu124'])
def test_full_mmcv_will_do(site, version):
    install_good(site, leave_out='mmcv-lite')
    install(site, 'mmcv', 'mmcv', version)
    check_versions()


def test_full_mmcv_is_recommended_to_those_who_have_it(site):
    install_good(site, leave_out='mmcv-lite')
    install(site, 'mmcv', 'mmcv', '2.2.0')
    with pytest.raises(ImportError, match=r"found mmcv 2\.2\.0.*pip install 'mmcv>="):
        check_versions()


def test_both_kinds_of_mmcv_must_be_accepted(site):
    install_good(site)
    install(site, 'mmcv', 'mmcv', '2.1.0')
    check_versions()


def test_the_wrong_one_of_two_kinds_of_mmcv_is_named(site):
    install_good(site)
    install(site, 'mmcv', 'mmcv', '2.2.0')
    with pytest.raises(ImportError, match=r'found mmcv 2\.2\.0, accepted'):
        check_versions()


def test_a_source_checkout_states_its_version(site):
    install_good(site, leave_out='mmaction2')
    add_module(site, 'mmaction', '1.2.0')
    check_versions()
    (site / 'mmaction' / 'version.py').write_text("__version__ = '1.1.0'\n")
    with pytest.raises(ImportError, match=r'found mmaction2 1\.1\.0, accepted is >=1\.2,<1\.3'):
        check_versions()
    (site / 'mmaction' / 'version.py').unlink()
    with pytest.raises(ImportError, match='found mmaction2 of unknown version'):
        check_versions()
