"""Import all registered parts; the registries import this module at their first look-up."""

from . import checkpoints, datasets, engine, evaluation, models
from .compat import extend_hooks

extend_hooks()

__all__ = ['checkpoints', 'datasets', 'engine', 'evaluation', 'models']
