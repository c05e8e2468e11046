"""TS2-Net on torch.nn.MultiheadAttention with the sequence as first axis, as CLIP is written."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import Tensor, nn

from ts2net_mm.models import TS2Net
from ts2net_mm.models.backbones import TokenShiftViT

__all__ = ['to_multihead_attention']


class SequenceFirstBlock(nn.Module):
    """A block with the weights of another, its attention as torch.nn.MultiheadAttention.

    Shape:
        - x: (L, N, D) -> (L, N, D)
    """

    def __init__(self, block: TransformerEncoderLayer) -> None:
        super().__init__()
        self.ln1, self.ln2, self.ffn = block.ln1, block.ln2, block.ffn
        self.attn = nn.MultiheadAttention(block.embed_dims, block.attn.num_heads)
        self.attn.in_proj_weight.data.copy_(block.attn.qkv.weight)
        self.attn.in_proj_bias.data.copy_(block.attn.qkv.bias)
        self.attn.out_proj.load_state_dict(block.attn.proj.state_dict())

    def forward(
        self, x: Tensor, shift: Callable[[Tensor], Tensor] | None = None, **masks: Tensor | None
    ) -> Tensor:
        """Run the block."""
        tokens = self.ln1(x)
        if shift is not None:
            tokens = shift(tokens)
        x = x + self.attn(tokens, tokens, tokens, need_weights=False, **masks)[0]
        return self.ffn(self.ln2(x), identity=x)


class SequenceFirstTransformer(nn.Module):
    """The blocks of the text encoder and the temporal transformer, called as those are."""

    def __init__(self, blocks: Iterable[TransformerEncoderLayer]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SequenceFirstBlock(block) for block in blocks)

    def forward(self, x: Tensor, mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Run all blocks: x (N, L, D), mask (N, 1, 1, L) True where a query may look."""
        length = x.shape[1]
        causal = x.new_full((length, length), float('-inf')).triu(1) if is_causal else None
        padding = None if mask is None else ~mask[:, 0, 0]
        x = x.permute(1, 0, 2)
        for block in self.blocks:
            x = block(x, attn_mask=causal, key_padding_mask=padding)
        return x.permute(1, 0, 2)


class SequenceFirstViT(nn.Module):
    """The ViT with token shift, called as TokenShiftViT is."""

    def __init__(self, vit: TokenShiftViT) -> None:
        super().__init__()
        self.patch_embed, self.pre_norm = vit.patch_embed, vit.pre_norm
        self.cls_token, self.pos_embed = vit.cls_token, vit.pos_embed
        self.ln1, self.proj = vit.ln1, vit.proj
        self.blocks = nn.ModuleList(SequenceFirstBlock(block) for block in vit.layers)
        self.shift_layers = vit.shift_layers
        self.shift: Any = vit.shift  # None if no layer shifts

    def forward(self, imgs: Tensor, frame_mask: Tensor) -> Tensor:
        """Encode all tokens of all frames."""
        shape = imgs.shape[:2]

        def shift(tokens: Tensor) -> Tensor:
            frames = tokens.permute(1, 0, 2).unflatten(0, shape)  # (L, B * T, D) -> (B, T, L, D)
            return self.shift(frames, frame_mask).flatten(0, 1).permute(1, 0, 2)

        x = self.patch_embed(imgs.flatten(0, 1))[0]
        x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), dim=1) + self.pos_embed
        x = self.pre_norm(x).permute(1, 0, 2)
        for index, block in enumerate(self.blocks):
            x = block(x, shift if index in self.shift_layers else None)
        return self.proj(self.ln1(x.permute(1, 0, 2))).unflatten(0, shape)


def to_multihead_attention(model: TS2Net) -> TS2Net:
    """Copy a model and its weights into the form with torch.nn.MultiheadAttention."""
    model = copy.deepcopy(model)
    model.backbone = SequenceFirstViT(model.backbone)
    model.text_encoder.layers = SequenceFirstTransformer(model.text_encoder.layers)
    model.head.temporal.layers = SequenceFirstTransformer(model.head.temporal.layers)
    return model
