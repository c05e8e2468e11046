"""Temporal modules: exchange between the frames of a video."""

from .simple import TemporalLSTM, TokenMean
from .transformer import TemporalTransformer

__all__ = ['TemporalLSTM', 'TemporalTransformer', 'TokenMean']
