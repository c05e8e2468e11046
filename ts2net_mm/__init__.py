"""TS2-Net for MMAction2: find a video by a sentence, and a sentence by a video.

Importing the package registers all its parts; it prints nothing and downloads nothing.
"""

from .compat import (
    allow_mmengine_checkpoints,
    check_versions,
    extend_hooks,
    leave_out_multimodal,
    mend_mmaction,
    quiet_imports,
)
from .version import __version__

check_versions()
mend_mmaction()
allow_mmengine_checkpoints()

with quiet_imports():
    leave_out_multimodal()
    from . import checkpoints, datasets, engine, evaluation, models

    extend_hooks()

__all__ = ['__version__', 'checkpoints', 'datasets', 'engine', 'evaluation', 'models']
