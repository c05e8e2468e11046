"""Necks between the frame encoder and the temporal transformer."""

from .cls_only import CLSOnly
from .token_selection import TokenSelection

__all__ = ['CLSOnly', 'TokenSelection']
