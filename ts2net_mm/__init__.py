"""TS2-Net for MMAction2: text-video retrieval.

Importing the package registers its parts; it prints nothing and downloads nothing. The parts,
torch, MMEngine and MMAction2 are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .compat import (
    allow_mmengine_checkpoints,
    check_versions,
    disable_multimodal,
    fix_mmaction,
    silence_mmcv_lite,
)
from .registration import register_package
from .version import __version__

if TYPE_CHECKING:
    from . import checkpoints, datasets, engine, evaluation, models

__all__ = ['__version__', 'checkpoints', 'datasets', 'engine', 'evaluation', 'models']

check_versions()
fix_mmaction()
allow_mmengine_checkpoints()
silence_mmcv_lite()
disable_multimodal()
register_package()


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f'{__name__}.{name}')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
