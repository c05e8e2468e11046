"""Initialise weights randomly first, then load pretrained weights."""

from mmengine.model import BaseModule, initialize

from ...utils.config_types import type_name

__all__ = ['PretrainedLast']

LOADING = ('CLIPPretrained', 'Pretrained', 'PretrainedInit')


class PretrainedLast(BaseModule):
    """A module that loads the weights named in ``init_cfg`` after all random initialisation.

    MMEngine does so for its own ``Pretrained`` only; with any other initialiser, ``init_weights``
    of a child module would overwrite the loaded weights.
    """

    init_cfg: dict | list[dict] | None

    def init_weights(self) -> None:
        """Initialise randomly, then load the weights named in ``init_cfg``."""
        configured = self.init_cfg
        cfgs = configured if isinstance(configured, list) else [configured] if configured else []
        loading = [cfg for cfg in cfgs if type_name(cfg) in LOADING]
        self.init_cfg = [cfg for cfg in cfgs if cfg not in loading] or None
        try:
            self.draw_weights()
        finally:
            self.init_cfg = configured
        initialize(self, loading)

    def draw_weights(self) -> None:
        """Initialise randomly."""
        super().init_weights()
