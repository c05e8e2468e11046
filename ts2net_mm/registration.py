"""Make the parts of this package known to MMEngine and MMAction2 without importing them.

The registries of both import the modules listed as their locations at the first look-up. What is
registered here is therefore imported when the first config is built, and not before.
"""

from importlib import import_module
from types import ModuleType

from .compat.when_imported import when_imported

__all__ = ['register_package']

PARTS = 'ts2net_mm.parts'


def register_package() -> None:
    """Register the parts, and the package as a source of configs (``ts2net_mm::ts2net/...``).

    May be called any number of times.
    """
    when_imported('mmengine.config.utils', _add_configs)
    when_imported('mmaction.registry', _add_to_all)
    # a look-up there climbs to MMEngine's registry without importing the locations of that
    for name in ('mmengine.registry.root', 'mmpretrain.registry'):
        when_imported(name, _add_initializers)


def _add_configs(module: ModuleType) -> None:
    # MMEngine expects the name of a distribution here and looks for the package in the folder where
    # that is installed, in vain for an editable installation or a checkout on the path. What is no
    # distribution it imports as a module, and takes its folder.
    module.MODULE2PACKAGE['ts2net_mm'] = 'ts2net_mm.version'


def _add_to_all(module: ModuleType) -> None:
    for registry in list(vars(module).values()):
        # those of MMEngine are imported there under other names
        if isinstance(registry, module.Registry) and registry.scope == 'mmaction':
            _add_location(registry)


def _add_initializers(module: ModuleType) -> None:
    _add_location(module.WEIGHT_INITIALIZERS)


def _add_location(registry) -> None:
    if PARTS in registry._locations:
        return
    # a new list: MMEngine's default is one list that all registries without locations share
    registry._locations = [*registry._locations, PARTS]
    if registry._imported:
        import_module(PARTS)
