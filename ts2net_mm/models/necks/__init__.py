"""Necks between the frame encoder and the temporal module."""

from .token_selection import CLSOnly, TokenSelection

__all__ = ['CLSOnly', 'TokenSelection']
