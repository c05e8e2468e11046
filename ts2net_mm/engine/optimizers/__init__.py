"""Optimisers and their parameter groups."""

from .bert_adam import BertAdam
from .constructor import CLIPOptimWrapperConstructor

__all__ = ['BertAdam', 'CLIPOptimWrapperConstructor']
