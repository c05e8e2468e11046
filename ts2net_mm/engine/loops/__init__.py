"""The training loop."""

from .resumable import ResumableTrainLoop

__all__ = ['ResumableTrainLoop']
