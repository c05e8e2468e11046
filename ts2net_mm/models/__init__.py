"""TS2-Net and its parts."""

from .backbones import CLIPTextEncoder, TokenShiftViT
from .data_preprocessor import TextVideoDataPreprocessor
from .heads import FrameWeightedSimilarity, MeanPooledSimilarity, RetrievalHead
from .losses import SymmetricContrastiveLoss
from .necks import TokenSelection
from .temporal import TemporalTransformer
from .ts2net import TS2Net

__all__ = [
    'CLIPTextEncoder',
    'FrameWeightedSimilarity',
    'MeanPooledSimilarity',
    'RetrievalHead',
    'SymmetricContrastiveLoss',
    'TS2Net',
    'TemporalTransformer',
    'TextVideoDataPreprocessor',
    'TokenSelection',
    'TokenShiftViT',
]
