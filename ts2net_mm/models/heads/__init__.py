"""Retrieval head and its similarities."""

from .retrieval_head import RetrievalHead
from .similarity import FrameWeightedSimilarity, MeanPooledSimilarity

__all__ = ['FrameWeightedSimilarity', 'MeanPooledSimilarity', 'RetrievalHead']
