"""Refuse weights that do not fit the model."""

from typing import Any

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ...checkpoints import check_state_dict

__all__ = ['StrictCheckpointHook']


@HOOKS.register_module()
class StrictCheckpointHook(Hook):
    """Stop with the keys that do not fit, where MMEngine loads what it can and goes on.

    Serves ``load_from``, ``resume`` and ``tools/test.py``; also for weights without ``state_dict``
    around them.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare the checkpoint with the model before MMEngine loads it."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        state_dict = {
            key.removeprefix('module.'): value
            for key, value in checkpoint.get('state_dict', checkpoint).items()
        }
        check_state_dict(
            state_dict, model.state_dict(), name=str(runner._load_from or 'the checkpoint')
        )
