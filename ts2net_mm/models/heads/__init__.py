"""Retrieval head and its similarities."""

from .retrieval_head import RetrievalHead
from .similarity import (
    AverageSimilarity,
    BestFrameSimilarity,
    FrameWeightedSimilarity,
    MeanPooledSimilarity,
    TokenInteraction,
)
from .token_weights import TokenWeights

__all__ = [
    'AverageSimilarity',
    'BestFrameSimilarity',
    'FrameWeightedSimilarity',
    'MeanPooledSimilarity',
    'RetrievalHead',
    'TokenInteraction',
    'TokenWeights',
]
