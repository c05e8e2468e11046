"""TS2-Net and its parts."""

from .backbones import (
    ChannelShift,
    CLIPTextEncoder,
    RandomTokenShift,
    TokenShift,
    TokenShiftViT,
)
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
from .necks import CLSOnly, FixedSelection, PatchMean, TokenSelection
from .temporal import TemporalLSTM, TemporalTransformer, TokenMean
from .ts2net import TS2Net

__all__ = [
    'AverageSimilarity',
    'BestFrameSimilarity',
    'CLSOnly',
    'CLIPTextEncoder',
    'ChannelShift',
    'FixedSelection',
    'FrameWeightedSimilarity',
    'MeanPooledSimilarity',
    'PatchMean',
    'RandomTokenShift',
    'RetrievalHead',
    'SymmetricContrastiveLoss',
    'TS2Net',
    'TemporalLSTM',
    'TemporalTransformer',
    'TextVideoDataPreprocessor',
    'TokenInteraction',
    'TokenMean',
    'TokenSelection',
    'TokenShift',
    'TokenShiftViT',
    'TokenWeights',
]
