"""Registries of the scope ``ts2net_mm``, a child of each registry of MMAction2.

MMEngine builds configs from ``ts2net_mm::...`` in this scope. The parts are registered in
MMAction2's registries, where a look-up in these child registries finds them.
"""

from typing import Any

from mmaction import registry as parents
from mmengine.registry import Registry

__all__ = ['REGISTRIES']

SCOPE = 'ts2net_mm'


class ScopedRegistry(Registry):
    """Finds ``ts2net_mm.TS2Net`` in the parent too, where MMEngine would look only in this one."""

    def get(self, key: str) -> Any:
        """Return the class registered under a name, or None."""
        scope, _, name = key.partition('.')
        return super().get(name if scope == SCOPE and '.' not in name else key)


REGISTRIES: dict[str, Registry] = {
    name: ScopedRegistry(parent.name, parent=parent, scope=SCOPE, locations=parent._locations)
    for name, parent in vars(parents).items()
    if isinstance(parent, Registry) and parent.scope == 'mmaction'
}
