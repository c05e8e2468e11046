"""Turn the official files of the data sets into MMAction2's video-text JSON."""

from .annotations import Annotations, Clip, Published, Split
from .prepare import Preparation, prepare
from .readers.activitynet import read_activitynet
from .readers.didemo import read_didemo
from .readers.lsmdc import read_lsmdc
from .readers.msrvtt import read_msrvtt
from .readers.msvd import read_msvd
from .readers.pairs import read_pairs
from .readers.vatex import read_vatex

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
]
