"""Registries of the scope ``ts2net_mm``, one below each of MMAction2's.

MMEngine builds what it has read from ``ts2net_mm::...`` in this scope. The parts themselves are
registered in MMAction2's registries, where ``mmaction`` finds them too, and a look-up here climbs
there.
"""

from typing import Any

from mmaction import registry as parents
from mmengine.registry import Registry

__all__ = ['REGISTRIES']

SCOPE = 'ts2net_mm'


class ScopedRegistry(Registry):
    """Finds ``ts2net_mm.TS2Net`` as it finds ``TS2Net``: above, where MMEngine looks only here."""

    def get(self, key: str) -> Any:
        """Return what is registered under a name, or None."""
        scope, _, name = key.partition('.')
        return super().get(name if scope == SCOPE and '.' not in name else key)


REGISTRIES: dict[str, Registry] = {
    name: ScopedRegistry(parent.name, parent=parent, scope=SCOPE, locations=parent._locations)
    for name, parent in vars(parents).items()
    if isinstance(parent, Registry) and parent.scope == 'mmaction'
}
