"""Exchange between the frames of a video."""

from .lstm import TemporalLSTM
from .token_mean import TokenMean
from .transformer import TemporalTransformer

__all__ = ['TemporalLSTM', 'TemporalTransformer', 'TokenMean']
