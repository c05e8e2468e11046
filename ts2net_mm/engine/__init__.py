"""Optimiser, schedule, training loop and hooks of the recipe, for MMEngine's Runner."""

from .bert_adam import BertAdam
from .cached_batch import CachedBatchTrainLoop
from .checkpointing import ResumableCheckpointHook
from .hooks import (
    BadVideosHook,
    FiniteLossHook,
    LogitScaleClampHook,
    ModelConfigHook,
    NotFiniteError,
    StrictCheckpointHook,
)
from .loops import ResumableTrainLoop
from .optim_wrapper import AutocastOptimWrapper, CLIPOptimWrapperConstructor
from .schedules import WarmupCosineLR
from .selection_health import SelectionHealthHook
from .termination import TerminationHook
from .token_visualization import TokenVisualizationHook

__all__ = [
    'AutocastOptimWrapper',
    'BadVideosHook',
    'BertAdam',
    'CLIPOptimWrapperConstructor',
    'CachedBatchTrainLoop',
    'FiniteLossHook',
    'LogitScaleClampHook',
    'ModelConfigHook',
    'NotFiniteError',
    'ResumableCheckpointHook',
    'ResumableTrainLoop',
    'SelectionHealthHook',
    'StrictCheckpointHook',
    'TerminationHook',
    'TokenVisualizationHook',
    'WarmupCosineLR',
]
