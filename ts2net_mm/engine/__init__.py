"""What MMEngine's loop needs for the recipe."""

from .hooks import BadVideosHook, LogitScaleClampHook, ModelConfigHook, StrictCheckpointHook
from .optimizers import BertAdam, CLIPOptimWrapperConstructor
from .schedulers import WarmupCosineLR

__all__ = [
    'BadVideosHook',
    'BertAdam',
    'CLIPOptimWrapperConstructor',
    'LogitScaleClampHook',
    'ModelConfigHook',
    'StrictCheckpointHook',
    'WarmupCosineLR',
]
