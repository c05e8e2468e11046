"""Functions that run when another module has been imported."""

import importlib
import inspect
import sys

import pytest

from ts2net_mm.compat import when_imported


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Name of a module with a constant, which is not imported yet."""
    name = f'late_{tmp_path.name}'
    (tmp_path / f'{name}.py').write_text('value = 1\ndef get():\n    return value\n')
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def test_runs_after_the_import_and_before_its_names_are_taken(module):
    seen = []

    def replace(imported):
        seen.append(imported.value)
        imported.value = 2

    when_imported(module, replace)
    when_imported(module, replace)
    assert module not in sys.modules
    imported = importlib.import_module(module)
    assert (seen, imported.get()) == ([1], 2)
    importlib.reload(imported)
    assert (seen, imported.get()) == ([1, 1], 2)
    assert 'return value' in inspect.getsource(imported)


def test_runs_at_once_where_the_module_is_there(module):
    importlib.import_module(module)
    seen = []
    when_imported(module, seen.append)
    assert [one.__name__ for one in seen] == [module]
