"""Are the OpenMMLab libraries there, in versions this package works with?"""

import re
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version


@dataclass(frozen=True)
class _Library:
    """A module, the distributions that bring it (the first is recommended), the accepted range."""

    module: str
    distributions: tuple[str, ...]
    accepted: str


# mmcv: what mmaction2 1.2 (below 2.2.0) and mmpretrain 1.2 (from 2.0.0) both take when imported.
_LIBRARIES = (
    _Library('mmengine', ('mmengine',), '>=0.10,<1.0'),
    _Library('mmcv', ('mmcv-lite', 'mmcv'), '>=2.0.0,<2.2.0'),
    _Library('mmaction', ('mmaction2',), '>=1.2,<1.3'),
    _Library('mmpretrain', ('mmpretrain',), '>=1.2,<1.3'),
)


def check_versions() -> None:
    """Compare the installed OpenMMLab libraries with the versions this package accepts.

    Imports none of them.

    Raises:
        ImportError: A library is missing or outside its range. The message names every such
            library with what was found, what is accepted and the command that installs it.
    """
    problems = [problem for library in _LIBRARIES if (problem := _problem(library))]
    if problems:
        raise ImportError(
            'ts2net_mm cannot use the libraries installed here:\n' + '\n'.join(problems)
        )


def _problem(library: _Library) -> str | None:
    """Say what is wrong with one library, or None."""
    spec = util.find_spec(library.module)
    # A folder that an uninstalled distribution left behind is a namespace, without an origin.
    if spec is None or spec.origin is None:
        return _describe(library, 'nothing', library.distributions[0])
    found = _installed(library)
    if not found:
        found[library.distributions[-1]] = _stated(Path(spec.origin).parent)
    wrong = {name: text for name, text in found.items() if not _accepts(library.accepted, text)}
    if not wrong:
        return None
    listed = ', '.join(f'{name} {version}' for name, version in wrong.items())
    return _describe(library, listed, next(iter(wrong)))


def _describe(library: _Library, found: str, recommended: str) -> str:
    names = ' or '.join(sorted(library.distributions))
    command = f"pip install '{recommended}{library.accepted}'"
    return f'- {names}: found {found}, accepted is {library.accepted}; {command}'


def _installed(library: _Library) -> dict[str, str]:
    """Versions of the installed distributions of the module; two of them may share its folder."""
    versions = {}
    for name in library.distributions:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _stated(folder: Path) -> str:
    """Version of a source checkout on the path, which has no metadata."""
    source = folder / 'version.py'
    text = source.read_text() if source.is_file() else ''
    match = re.search(r'^__version__ = [\'"](.+?)[\'"]', text, re.MULTILINE)
    return match.group(1) if match else 'of unknown version'


def _accepts(accepted: str, version: str) -> bool:
    try:
        return SpecifierSet(accepted).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False
