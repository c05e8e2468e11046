"""Search any number of videos, and moments inside them, by sentences, pictures and videos.

An index can be searched with NumPy alone: importing this package does not import torch.
"""

from .bound import FrameWeightedScore, MeanPooledScore, OtherScore, Score, score_from_settings
from .filters import VideoFilter
from .index import Hit, Moment, SearchIndex, SearchResult, VideoIndex
from .records import DamagedIndexError, Layout, VideoEntry, WindowFeatures
from .store import Description, StoreWriter, VideoStore
from .view import StoredVideo, View

__all__ = [
    'DamagedIndexError',
    'Description',
    'FrameWeightedScore',
    'Hit',
    'Layout',
    'MeanPooledScore',
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
    'score_from_settings',
]
