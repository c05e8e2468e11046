"""Hooks of the training loop."""

from .logit_scale import LogitScaleClampHook
from .model_config import ModelConfigHook
from .strict_checkpoint import StrictCheckpointHook

__all__ = ['LogitScaleClampHook', 'ModelConfigHook', 'StrictCheckpointHook']
