"""Load weights of any format, and refuse those that do not fit the model."""

from typing import Any

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner, find_latest_checkpoint

from ...checkpoints import Checkpoint, fit_weights

__all__ = ['StrictCheckpointHook']


@HOOKS.register_module()
class StrictCheckpointHook(Hook):
    """Convert what ``load_from``, ``resume`` or ``tools/test.py`` loads; stop if it does not fit.

    MMEngine alone loads the keys that it knows and goes on. Weights may lie in the file with or
    without ``state_dict`` around them. This hook comes first, whatever its priority, because others
    (such as ``EMAHook``) expect the weights under the model's names.
    """

    def before_run(self, runner: Runner) -> None:
        """Take the first place."""
        runner.hooks.remove(self)
        runner.hooks.insert(0, self)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Replace the checkpoint's weights by those that fit, before MMEngine loads them."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        name = runner._load_from or find_latest_checkpoint(runner.work_dir) or 'the checkpoint'
        found = Checkpoint.from_content(checkpoint, str(name))
        fitted = fit_weights(model, found)
        if 'state_dict' not in checkpoint:
            checkpoint.clear()
        checkpoint['state_dict'] = fitted
