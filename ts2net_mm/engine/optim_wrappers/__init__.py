"""Wrappers of the optimiser."""

from .autocast import AutocastOptimWrapper

__all__ = ['AutocastOptimWrapper']
