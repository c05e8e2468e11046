"""TS2-Net and its parts."""

from .backbones import CLIPTextEncoder, TokenShiftViT
from .data_preprocessor import TextVideoDataPreprocessor
from .heads import (
    AverageSimilarity,
    BestFrameSimilarity,
    FrameWeightedSimilarity,
    MeanPooledSimilarity,
    RetrievalHead,
    TokenInteraction,
    TokenWeights,
)
from .losses import SymmetricContrastiveLoss
from .necks import CLSOnly, TokenSelection
from .temporal import TemporalLSTM, TemporalTransformer, TokenMean
from .ts2net import TS2Net

__all__ = [
    'AverageSimilarity',
    'BestFrameSimilarity',
    'CLSOnly',
    'CLIPTextEncoder',
    'FrameWeightedSimilarity',
    'MeanPooledSimilarity',
    'RetrievalHead',
    'SymmetricContrastiveLoss',
    'TS2Net',
    'TemporalLSTM',
    'TemporalTransformer',
    'TextVideoDataPreprocessor',
    'TokenInteraction',
    'TokenMean',
    'TokenSelection',
    'TokenShiftViT',
    'TokenWeights',
]
