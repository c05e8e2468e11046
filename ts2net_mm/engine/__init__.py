"""What MMEngine's loop needs for the recipe."""

from .hooks import (
    FiniteLossHook,
    LogitScaleClampHook,
    ModelConfigHook,
    NotFiniteError,
    ResumableCheckpointHook,
    StrictCheckpointHook,
)
from .loops import ResumableTrainLoop
from .optimizers import BertAdam, CLIPOptimWrapperConstructor
from .schedulers import WarmupCosineLR

__all__ = [
    'BertAdam',
    'CLIPOptimWrapperConstructor',
    'FiniteLossHook',
    'LogitScaleClampHook',
    'ModelConfigHook',
    'NotFiniteError',
    'ResumableCheckpointHook',
    'ResumableTrainLoop',
    'StrictCheckpointHook',
    'WarmupCosineLR',
]
