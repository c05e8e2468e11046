"""Frame and sentence encoders."""

from .clip_text_encoder import CLIPTextEncoder
from .token_shift_vit import TokenShiftViT

__all__ = ['CLIPTextEncoder', 'TokenShiftViT']
