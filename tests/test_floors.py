"""Imports run downward: no floor of the package imports one above, and there are no circles."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = (
    ('utils', 'video', 'models', 'compat', 'version', 'registration', 'registry'),
    ('datasets', 'checkpoints', 'rendered'),
    ('evaluation', 'preparation', 'apis', 'search', 'export', 'visualization'),
    ('engine', 'ablation'),
    ('parts', '__init__'),
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


PATHS = sorted((ROOT / 'ts2net_mm').rglob('*.py'))
# the build puts configs and tools into .mim
MODULES = {module_name(path): path for path in PATHS if '.mim' not in path.parts}


def imports_of(name: str) -> set[str]:
    """Modules of the package that a module imports anywhere, in functions and for types too."""
    package = name.split('.') if MODULES[name].name == '__init__.py' else name.split('.')[:-1]
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            source = '.'.join([*base, *filter(None, [node.module])])
            for alias in node.names:
                inner = f'{source}.{alias.name}'
                found.add(inner if inner in MODULES else source)
    return {one for one in found if one in MODULES and one != name}


GRAPH = {name: imports_of(name) for name in MODULES}


def room_of(name: str) -> str:
    return name.split('.')[1] if '.' in name else '__init__'


def test_every_room_has_a_floor():
    assert {room_of(name) for name in MODULES} == set(LEVEL)


def test_no_import_runs_up():
    upward = [
        f'{name} -> {target}'
        for name, targets in GRAPH.items()
        for target in targets
        if LEVEL[room_of(target)] > LEVEL[room_of(name)] and room_of(name) != '__init__'
    ]
    assert upward == []


def test_utils_import_nothing_of_the_package():
    outside = {
        f'{name} -> {target}'
        for name, targets in GRAPH.items()
        for target in targets
        if room_of(name) == 'utils' and room_of(target) != 'utils'
    }
    assert outside == set()


def test_no_circles():
    """A package's ``__init__`` gathers its own modules, so what these import is no circle."""
    graph = {
        name: {t for t in targets if not name.startswith(f'{t}.')}
        for name, targets in GRAPH.items()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            pytest.fail('circle: ' + ' -> '.join([*path[path.index(name) :], name]))
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())
