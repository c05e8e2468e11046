"""Turn the official files of the data sets into MMAction2's video-text JSON."""

from .command import run_preparation
from .msrvtt import read_msrvtt
from .prepare import Preparation, prepare
from .splits import Annotations, Clip, Published, Split

__all__ = [
    'Annotations',
    'Clip',
    'Preparation',
    'Published',
    'Split',
    'prepare',
    'read_msrvtt',
    'run_preparation',
]
