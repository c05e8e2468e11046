"""Frame and sentence encoders."""

from .clip_text_encoder import CLIPTextEncoder
from .shifts import ChannelShift, RandomTokenShift, TokenShift
from .token_shift_vit import TokenShiftViT

__all__ = ['CLIPTextEncoder', 'ChannelShift', 'RandomTokenShift', 'TokenShift', 'TokenShiftViT']
