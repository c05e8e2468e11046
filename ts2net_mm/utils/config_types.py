"""Read the types of a config in all the ways in which MMEngine writes them."""

from collections.abc import Mapping
from typing import Any

__all__ = ['type_name']


def type_name(config: Any, default: str = '') -> str:
    """Return the bare name of a config's type.

    MMEngine accepts a registered name, a name with the scope of a library, an import path and, in
    pure Python configs, the class itself.

    Args:
        config: A config with the key ``type``, or a type.
        default: The name if the config has no type.

    Example:
        >>> from collections import OrderedDict
        >>> kinds = 'OrderedDict', 'mmengine.OrderedDict', 'collections.OrderedDict', OrderedDict
        >>> {type_name(dict(type=kind)) for kind in kinds}
        {'OrderedDict'}
    """
    kind = config.get('type') if isinstance(config, Mapping) else config
    if kind is None:
        return default
    name = kind if isinstance(kind, str) else getattr(kind, '__name__', type(kind).__name__)
    return name.rpartition('.')[2]
