"""Draw new weights first, and load pretrained ones over them."""

from mmengine.model import BaseModule, initialize

from ...utils.config_types import type_name

__all__ = ['PretrainedLast']

LOADING = ('CLIPPretrained', 'Pretrained', 'PretrainedInit')


class PretrainedLast(BaseModule):
    """A module whose ``init_cfg`` may name a weight file that is loaded after all else is drawn.

    MMEngine grants that to its own ``Pretrained`` only; a child's ``init_weights`` would overwrite
    what any other initialiser has loaded.
    """

    init_cfg: dict | list[dict] | None

    def init_weights(self) -> None:
        """Draw new weights, then load what ``init_cfg`` names."""
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
        """Draw new weights."""
        super().init_weights()
