"""Tell in each checkpoint which model it belongs to."""

import logging
from collections.abc import Mapping
from typing import Any

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from ...checkpoints.settings import as_meta, foreign_types

__all__ = ['ModelConfigHook']


@HOOKS.register_module()
class ModelConfigHook(Hook):
    """Store the model's config as plain data in the checkpoints that are saved.

    ``tools/test.py --from-weights`` and ``tools/convert_weights.py`` read from it what the weights
    do not show, such as the blocks that shift. A model with parts of other packages is left out,
    and so is one that the runner was given ready made; the log says so once.
    """

    _told = False

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the config to the meta data."""
        model = runner.cfg.get('model')
        meta = as_meta(model) if isinstance(model, Mapping) else {}
        checkpoint['meta'].update(meta)
        if not meta and not self._told:
            self._told = True
            foreign = foreign_types(model) if isinstance(model, Mapping) else []
            reason = (
                ', '.join(foreign) + ' of other packages' if foreign else 'no plain model config'
            )
            print_log(
                f'the checkpoints tell no model config, because the run has {reason}: '
                'tools/test.py --from-weights and tools/convert_weights.py read the model off the '
                'shapes of its weights',
                logger='current',
                level=logging.WARNING,
            )
