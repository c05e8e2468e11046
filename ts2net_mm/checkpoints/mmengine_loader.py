"""Let MMEngine's ``load_from`` open every container that this package reads."""

from typing import Any

from mmengine.runner.checkpoint import CheckpointLoader

from .downloading import fetch
from .reading import load_content

__all__ = ['load_any']


# replaces MMEngine's loaders of files and addresses, which know torch's own format only
@CheckpointLoader.register_scheme(prefixes=('', 'http://', 'https://'), force=True)
def load_any(filename: str, map_location: Any = None) -> Any:
    """Load a checkpoint by path, address or name, as MMEngine's Runner asks for it.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it cannot be read; the message says what it seems to be.
    """
    return load_content(fetch(filename), map_location)
