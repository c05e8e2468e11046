"""Necks between the frame encoder and the temporal transformer."""

from .token_selection import TokenSelection

__all__ = ['TokenSelection']
