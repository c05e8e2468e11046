"""Hooks of the training loop."""

from .bad_videos import BadVideosHook
from .finite_loss import FiniteLossHook, NotFiniteError
from .logit_scale import LogitScaleClampHook
from .model_config import ModelConfigHook
from .resumable_checkpoint import ResumableCheckpointHook
from .strict_checkpoint import StrictCheckpointHook
from .termination import TerminationHook

__all__ = [
    'BadVideosHook',
    'FiniteLossHook',
    'LogitScaleClampHook',
    'ModelConfigHook',
    'NotFiniteError',
    'ResumableCheckpointHook',
    'StrictCheckpointHook',
    'TerminationHook',
]
