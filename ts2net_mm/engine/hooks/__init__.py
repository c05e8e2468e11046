"""Hooks of the training loop."""

from .logit_scale import LogitScaleClampHook
from .strict_checkpoint import StrictCheckpointHook

__all__ = ['LogitScaleClampHook', 'StrictCheckpointHook']
