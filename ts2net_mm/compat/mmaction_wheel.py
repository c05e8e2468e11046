"""Import ``mmaction.models`` although MMAction2 1.2.0's wheel lacks one of its folders.

``mmaction/models/localizers/__init__.py`` imports ``DRN`` from ``.drn.drn``, and the wheel was
packed without that folder (https://github.com/open-mmlab/mmaction2/issues/2714). A finder at the
end of ``sys.meta_path`` is asked only for modules that nobody else finds, so it has no effect
where the folder exists.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_PACKAGE = 'mmaction.models.localizers.drn'
_MODULE = f'{_PACKAGE}.drn'


class DRN:
    """Stands where MMAction2's ``DRN`` should be; not registered, so no config can build it.

    Raises:
        ImportError: Always; the message says how to get the real one.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise ImportError(
            f"DRN is not part of this mmaction2 installation, as PyPI's wheel lacks {_PACKAGE} "
            '(https://github.com/open-mmlab/mmaction2/issues/2714). To use it install the source: '
            'pip install git+https://github.com/open-mmlab/mmaction2.git@v1.2.0'
        )


class _MissingFolderFinder(MetaPathFinder, Loader):
    """Finds and loads the two modules of the missing folder, and no other."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in (_PACKAGE, _MODULE):
            return None
        return ModuleSpec(fullname, self, is_package=fullname == _PACKAGE)

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == _MODULE:
            module.DRN = DRN  # type: ignore[attr-defined]


def mend_mmaction() -> None:
    """Let ``import mmaction.models`` succeed in this process with MMAction2's incomplete wheel.

    Imports nothing and may be called any number of times. A process that unpickles anything of
    ``ts2net_mm``, or reads a config with ``custom_imports = dict(imports=['ts2net_mm'])``, calls it
    by importing the package.
    """
    if not any(isinstance(finder, _MissingFolderFinder) for finder in sys.meta_path):
        sys.meta_path.append(_MissingFolderFinder())
