"""The model that a checkpoint belongs to: its shapes, and what the file tells beside them."""

from .conversion import config_from_state_dict
from .reading import Checkpoint
from .settings import merged

__all__ = ['config_of']


def config_of(checkpoint: Checkpoint) -> dict:
    """Derive the config of the model that a checkpoint belongs to.

    Raises:
        ValueError: If its format is unknown, or a tensor that shows the architecture is missing.
    """
    try:
        return merged(config_from_state_dict(checkpoint.state_dict), checkpoint.settings)
    except ValueError as error:
        raise ValueError(f'{checkpoint.name}: {error}') from error
