"""Read the types of a config, in whichever of MMEngine's ways they are written."""

from collections.abc import Mapping
from typing import Any

__all__ = ['type_name']


def type_name(config: Any, default: str = '') -> str:
    """Return the bare name of the type that a config asks for.

    MMEngine takes a type as a registered name, with the scope of a library, as the path of an
    import, or, in its pure Python configs, as the class itself.

    Args:
        config: A config with the key ``type``, or a type.
        default: The name where a config has no type.

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
