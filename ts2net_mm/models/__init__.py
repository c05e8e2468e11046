"""TS2-Net and its parts."""

from .backbones import (
    ChannelShift,
    CLIPTextEncoder,
    RandomTokenShift,
    TokenShift,
    TokenShiftViT,
)
from .data_preprocessor import TextVideoDataPreprocessor
from .heads import FrameWeightedSimilarity, MeanPooledSimilarity, RetrievalHead
from .losses import SymmetricContrastiveLoss
from .necks import CLSOnly, FixedSelection, PatchMean, TokenSelection
from .temporal import TemporalLSTM, TemporalTransformer, TokenMean
from .ts2net import TS2Net

__all__ = [
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
    'TokenMean',
    'TokenSelection',
    'TokenShift',
    'TokenShiftViT',
]
