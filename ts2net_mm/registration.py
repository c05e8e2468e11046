"""Register the parts of this package with MMEngine and MMAction2 without importing them.

The registries import the modules in their list of locations at the first look-up, so the parts are
imported when the first config is built.
"""

from importlib import import_module
from types import ModuleType

from .compat import when_imported

__all__ = ['register_package']

PARTS = 'ts2net_mm.parts'


def register_package() -> None:
    """Register the parts, and the package as a source of configs (``ts2net_mm::ts2net/...``).

    May be called any number of times.
    """
    when_imported('mmengine.config.utils', _add_configs)
    when_imported('mmaction.registry', _add_to_all)
    # MMPretrain's registry asks its parent, MMEngine's, without importing the parent's locations
    for name in ('mmengine.registry.root', 'mmpretrain.registry'):
        when_imported(name, _add_initializers)


def _add_configs(module: ModuleType) -> None:
    # MMEngine expects a distribution and looks for the package where that is installed, which fails
    # for an editable installation or a checkout on the path. A name that is not a distribution is
    # imported as a module instead, and its folder is used.
    module.MODULE2PACKAGE['ts2net_mm'] = 'ts2net_mm.version'


def _add_to_all(module: ModuleType) -> None:
    for registry in list(vars(module).values()):
        # the module also has MMEngine's registries, which are its parents
        if isinstance(registry, module.Registry) and registry.scope == 'mmaction':
            _add_location(registry)


def _add_initializers(module: ModuleType) -> None:
    _add_location(module.WEIGHT_INITIALIZERS)


def _add_location(registry) -> None:
    if PARTS in registry._locations:
        return
    # a new list, because MMEngine's default is a list that registries share
    registry._locations = [*registry._locations, PARTS]
    if registry._imported:
        import_module(PARTS)
