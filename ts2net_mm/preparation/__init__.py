"""Turn the official files of the data sets into MMAction2's video-text JSON."""

from .activitynet import read_activitynet
from .command import run_preparation
from .didemo import read_didemo
from .lsmdc import read_lsmdc
from .msrvtt import read_msrvtt
from .msvd import read_msvd
from .pairs import read_pairs
from .prepare import Preparation, prepare
from .splits import Annotations, Clip, Published, Split
from .vatex import read_vatex

__all__ = [
    'Annotations',
    'Clip',
    'Preparation',
    'Published',
    'Split',
    'prepare',
    'read_activitynet',
    'read_didemo',
    'read_lsmdc',
    'read_msrvtt',
    'read_msvd',
    'read_pairs',
    'read_vatex',
    'run_preparation',
]
