"""What MMEngine's loop needs for the recipe."""

from .hooks import (
    BadVideosHook,
    FiniteLossHook,
    LogitScaleClampHook,
    ModelConfigHook,
    NotFiniteError,
    ResumableCheckpointHook,
    StrictCheckpointHook,
    TerminationHook,
)
from .loops import ResumableTrainLoop
from .optim_wrappers import AutocastOptimWrapper
from .optimizers import BertAdam, CLIPOptimWrapperConstructor
from .schedulers import WarmupCosineLR

__all__ = [
    'AutocastOptimWrapper',
    'BadVideosHook',
    'BertAdam',
    'CLIPOptimWrapperConstructor',
    'FiniteLossHook',
    'LogitScaleClampHook',
    'ModelConfigHook',
    'NotFiniteError',
    'ResumableCheckpointHook',
    'ResumableTrainLoop',
    'StrictCheckpointHook',
    'TerminationHook',
    'WarmupCosineLR',
]
