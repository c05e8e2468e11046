"""The model that a checkpoint belongs to: its shapes, and what the file tells beside them."""

from collections.abc import Mapping

from ..utils.config_types import type_name
from .conversion import config_from_state_dict
from .reading import Checkpoint

__all__ = ['config_of', 'merged']


def config_of(checkpoint: Checkpoint) -> dict:
    """Derive the config of the model that a checkpoint belongs to.

    Raises:
        ValueError: If its format is unknown, or a tensor that shows the architecture is missing.
    """
    try:
        return merged(config_from_state_dict(checkpoint.state_dict), checkpoint.settings)
    except ValueError as error:
        raise ValueError(f'{checkpoint.name}: {error}') from error


def merged(config: Mapping, settings: Mapping) -> dict:
    """Let settings replace what they name; a part of another type is replaced whole."""
    result = dict(config)
    for key, value in settings.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            same = type_name(old) == type_name(value, default=type_name(old))
            result[key] = merged(old, value) if same else dict(value)
        else:
            result[key] = value
    return result
