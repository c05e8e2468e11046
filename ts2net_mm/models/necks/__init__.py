"""Necks between the frame encoder and the temporal module."""

from .simple import CLSOnly, FixedSelection, PatchMean
from .token_selection import TokenSelection

__all__ = ['CLSOnly', 'FixedSelection', 'PatchMean', 'TokenSelection']
