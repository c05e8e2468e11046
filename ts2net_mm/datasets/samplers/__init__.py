"""Samplers of the data loader."""

from .distinct_group import DistinctGroupBatchSampler

__all__ = ['DistinctGroupBatchSampler']
