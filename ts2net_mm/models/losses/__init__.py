"""Losses."""

from .contrastive_loss import SymmetricContrastiveLoss

__all__ = ['SymmetricContrastiveLoss']
