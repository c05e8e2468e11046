"""What MMEngine's loop needs for the recipe."""

from .hooks import LogitScaleClampHook, ModelConfigHook, StrictCheckpointHook
from .optimizers import BertAdam, CLIPOptimWrapperConstructor
from .schedulers import WarmupCosineLR

__all__ = [
    'BertAdam',
    'CLIPOptimWrapperConstructor',
    'LogitScaleClampHook',
    'ModelConfigHook',
    'StrictCheckpointHook',
    'WarmupCosineLR',
]
