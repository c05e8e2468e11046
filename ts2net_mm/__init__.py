"""TS2-Net for MMAction2: find a video by a sentence, and a sentence by a video.

Importing the package registers all its parts; it prints nothing and downloads nothing. The parts
themselves, MMEngine and MMAction2 are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .compat import (
    allow_mmengine_checkpoints,
    check_versions,
    leave_out_multimodal,
    mend_mmaction,
    quiet_imports,
)
from .registration import register_package
from .version import __version__

if TYPE_CHECKING:
    from . import checkpoints, datasets, engine, evaluation, models

__all__ = ['__version__', 'checkpoints', 'datasets', 'engine', 'evaluation', 'models']

check_versions()
mend_mmaction()
allow_mmengine_checkpoints()
quiet_imports()
leave_out_multimodal()
register_package()


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f'{__name__}.{name}')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
