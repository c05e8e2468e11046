"""Refuse weights that do not fit the model."""

from typing import Any

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner, find_latest_checkpoint

from ...checkpoints import check_state_dict
from ...checkpoints.released import without_wrapper

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
        state_dict = without_wrapper(checkpoint.get('state_dict', checkpoint))
        name = runner._load_from or find_latest_checkpoint(runner.work_dir) or 'the checkpoint'
        check_state_dict(state_dict, model.state_dict(), name=str(name))
