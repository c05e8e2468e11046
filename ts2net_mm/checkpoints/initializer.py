"""Initialise a model from pretrained weights of any format."""

from pathlib import Path

from mmengine.model import update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import nn

from .downloading import fetch
from .fitting import load_weights
from .reading import read_checkpoint

__all__ = ['CLIPPretrained']


# in MMEngine's registry: its initialize() looks there when no scope is set
@WEIGHT_INITIALIZERS.register_module()
class CLIPPretrained:
    """Load CLIP, CLIP4Clip or TS2-Net weights of any format, as ``init_cfg`` of TS2Net or a part.

    Vision, text, projections and logit scale are taken, and a temporal transformer that the weights
    do not have starts from the first blocks and the positions of the text encoder, as in the
    release. What the format does not have stays new; the log says which.

    Args:
        checkpoint: A file, a folder of Hugging Face, an address, or ``ViT-B/32``, ``ViT-B/16``,
            ``ViT-L/14`` or ``ViT-L/14@336px`` for OpenAI's, which is downloaded if it is not in
            the cache folder, and whose SHA-256 is checked.
        cache_dir: Where downloads are kept; ``~/.cache/clip`` for names by default.

    Raises:
        FileNotFoundError: If the weights are missing and cannot be downloaded.
        ValueError: If they are no weights of a known format or do not fit.
    """

    def __init__(self, *, checkpoint: str | Path, cache_dir: str | Path | None = None) -> None:
        self.checkpoint = checkpoint
        self.cache_dir = cache_dir

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into TS2Net, TokenShiftViT or CLIPTextEncoder."""
        checkpoint = read_checkpoint(fetch(self.checkpoint, cache_dir=self.cache_dir))
        load_weights(module, checkpoint, part=getattr(module, 'key_prefix', ''))
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=f'CLIPPretrained: {self.checkpoint}')
