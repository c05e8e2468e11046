"""Search any number of videos, and moments inside them, by sentences, pictures and videos.

An index can be searched with NumPy alone: importing this package does not import torch.
"""

from .addresses import open_index
from .bound import FrameWeightedScore, MeanPooledScore, OtherScore, Score, score_from_settings
from .calibrating import calibrate
from .calibration import Calibration, write_calibration
from .copying import CopyReport, copy_index
from .description import Description
from .filters import VideoFilter
from .index import SearchIndex, VideoIndex
from .milvus import MilvusStore
from .milvus_client import MilvusError
from .milvus_index import MilvusIndex
from .records import DamagedIndexError, Layout, VideoEntry, WindowFeatures
from .results import Hit, Moment, SearchResult
from .store import StoreWriter, VideoStore
from .view import StoredVideo, View

__all__ = [
    'Calibration',
    'CopyReport',
    'DamagedIndexError',
    'Description',
    'FrameWeightedScore',
    'Hit',
    'Layout',
    'MeanPooledScore',
    'MilvusError',
    'MilvusIndex',
    'MilvusStore',
    'Moment',
    'OtherScore',
    'Score',
    'SearchIndex',
    'SearchResult',
    'StoreWriter',
    'StoredVideo',
    'VideoEntry',
    'VideoFilter',
    'VideoIndex',
    'VideoStore',
    'View',
    'WindowFeatures',
    'calibrate',
    'copy_index',
    'open_index',
    'score_from_settings',
    'write_calibration',
]
