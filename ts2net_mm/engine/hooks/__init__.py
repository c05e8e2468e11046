"""Hooks of the training loop."""

from .bad_videos import BadVideosHook
from .logit_scale import LogitScaleClampHook
from .model_config import ModelConfigHook
from .strict_checkpoint import StrictCheckpointHook

__all__ = ['BadVideosHook', 'LogitScaleClampHook', 'ModelConfigHook', 'StrictCheckpointHook']
