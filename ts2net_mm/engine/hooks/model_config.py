"""Tell in each checkpoint which model it belongs to."""

from collections.abc import Mapping
from typing import Any

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...checkpoints import as_meta

__all__ = ['ModelConfigHook']


@HOOKS.register_module()
class ModelConfigHook(Hook):
    """Store the model's config as plain data in the checkpoints that are saved.

    ``tools/test.py --from-weights`` and ``tools/convert_weights.py`` read from it what the weights
    do not show, such as the blocks that shift. A model with parts of other packages is left out.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the config to the meta data."""
        model = runner.cfg.get('model')
        if isinstance(model, Mapping):
            checkpoint['meta'].update(as_meta(model))
