"""Run a function as soon as another library's module has been imported, without importing it.

``import ts2net_mm`` has to register parts with MMEngine and MMAction2 and to prepare both for the
installed versions. To import them for that takes seconds, even for ``--help`` of a tool.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ['when_imported']

Callback = Callable[[ModuleType], None]


class _ImportHooks(MetaPathFinder):
    """Lets the other finders find a module, and has callbacks run at the end of its execution."""

    def __init__(self) -> None:
        self.callbacks: dict[str, list[Callback]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.callbacks:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, 'find_spec', None)
            spec = None if finder is self or find is None else find(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    self._extend(spec.loader, fullname)
                return spec
        return None

    def _extend(self, loader: Any, fullname: str) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            for callback in self.callbacks[fullname]:
                callback(module)

        # on the loader itself, so that inspect, pkgutil and tracebacks still find the source
        loader.exec_module = exec_module


_hooks = _ImportHooks()


def when_imported(name: str, callback: Callback) -> None:
    """Call a function with a module after its import, or at once where it is imported already.

    Args:
        name: Full name of the module.
        callback: Gets the module, again after a reload or where it is registered again.
    """
    callbacks = _hooks.callbacks.setdefault(name, [])
    if callback not in callbacks:
        callbacks.append(callback)
    if _hooks not in sys.meta_path:
        sys.meta_path.insert(0, _hooks)
    module = sys.modules.get(name)
    if module is not None and not getattr(module.__spec__, '_initializing', False):
        callback(module)
