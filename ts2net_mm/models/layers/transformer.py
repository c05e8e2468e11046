"""The CLIP block for text and temporal transformers, based on mmpretrain's encoder layer."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from mmcv.cnn import Linear
from mmengine.model import ModuleList
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .recomputing import Activation, find_activation, linear, norm_heads, norm_mlp

__all__ = [
    'CLIPBlock',
    'CLIPTransformer',
    'MaskOrder',
    'at_least_fp32',
    'check_mask_order',
    'clip_layer_cfg',
    'init_clip_blocks',
]

# how a frame mask is expanded to tokens: frame-major like the tokens, or tiled as in the release
MaskOrder = Literal['frame', 'tiled']

QUICK_GELU = dict(type='mmpretrain.QuickGELU')
LAYER_NORM_EPS = 1e-5  # CLIP's; mmpretrain's ViT has 1e-6


def check_mask_order(mask_order: str) -> None:
    """Raise an error if a mask order is unknown."""
    if mask_order not in get_args(MaskOrder):
        raise ValueError(
            f'mask_order={mask_order!r} is unknown, choose one of {get_args(MaskOrder)}'
        )


def at_least_fp32(tensor: Tensor) -> Tensor:
    """Convert half precision to fp32; fp64 is unchanged."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def clip_layer_cfg(width: int, num_heads: int, act_cfg: dict | None = None) -> dict:
    """Settings of an encoder layer that make it a CLIP block, with QuickGELU by default."""
    if width % num_heads:
        raise ValueError(f'width {width} is not a multiple of num_heads={num_heads}')
    return dict(
        embed_dims=width,
        num_heads=num_heads,
        feedforward_channels=4 * width,
        act_cfg=dict(act_cfg or QUICK_GELU),
        norm_cfg=dict(type='LN', eps=LAYER_NORM_EPS),
    )


class CLIPBlock(TransformerEncoderLayer):
    """Pre-norm transformer block whose attention takes a mask.

    It keeps less for the backward pass than its layers would one by one.

    Shape:
        - x: (N, L, D), mask: broadcastable to (N, heads, L, L), bool, True where a query may look
          -> (N, L, D)
    """

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        is_causal: bool = False,
        shift: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Run the block; ``shift`` moves the normalised tokens that enter the attention."""
        attn, activation = self.attn, self._fusible_activation()
        if activation and shift is None:
            query, key, value = norm_heads(x, self.ln1, attn.qkv, attn.num_heads)
        else:
            tokens = self.ln1(x)
            tokens = tokens if shift is None else shift(tokens)
            qkv = linear(tokens, attn.qkv) if activation else attn.qkv(tokens)
            query, key, value = self._split_heads(qkv)
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=is_causal)
        out = out.transpose(1, 2).flatten(2)  # (N, heads, L, D / heads) -> (N, L, D)
        if activation is None:
            x = x + attn.proj(out)
            return self.ffn(self.ln2(x), identity=x)
        x = x + linear(out, attn.proj)
        return norm_mlp(x, self.ln2, self.ffn.layers[0][0], self.ffn.layers[1], activation)

    @torch.no_grad()
    def cls_attention(self, x: Tensor, shift: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Compute what the first token attends to in this block, as the mean over the heads.

        Shape:
            - x: (N, L, D) -> (N, L), each row sums to 1; no gradient
        """
        tokens = self.ln1(x)
        qkv = self.attn.qkv(tokens if shift is None else shift(tokens))
        query, key, _ = self._split_heads(qkv)
        scores = query[:, :, :1] @ key.mT / self.attn.head_dims**0.5  # (N, heads, 1, L)
        return scores.float().softmax(dim=-1).mean(dim=1).squeeze(1)

    def _split_heads(self, qkv: Tensor) -> Tensor:
        """Split the linear layer of an attention: (N, L, 3 * D) -> (3, N, heads, L, D / heads)."""
        heads = qkv.unflatten(-1, (3, self.attn.num_heads, self.attn.head_dims))
        return heads.permute(2, 0, 3, 1, 4)

    def _fusible_activation(self) -> Activation | None:
        """The activation, or None if each layer has to be called by itself."""
        # a compiler fuses by itself, and an exporter needs plain operations
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return None
        is_adapted = self._has_adapters() or any(
            type(norm) is not nn.LayerNorm for norm in (self.ln1, self.ln2)
        )
        if is_adapted or any(_has_hooks(part) for part in self.modules() if part is not self):
            return None
        return find_activation(self.ffn.layers[0][1])

    def _has_adapters(self) -> bool:
        (first, _, _), second, _ = self.ffn.layers
        linears = self.attn.qkv, self.attn.proj, first, second
        return any(type(layer) not in (nn.Linear, Linear) for layer in linears)

    def init_weights(self) -> None:
        """Initialise as mmpretrain does; `init_clip_blocks` replaces the result."""
        if not self._has_adapters():  # mmpretrain would draw their weights like those of the MLP
            super().init_weights()


def _has_hooks(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


class CLIPTransformer(ModuleList):
    """A stack of CLIP blocks.

    Args:
        width: Size of a token.
        num_layers: Number of blocks.
        num_heads: Attention heads of a block.
        act_cfg: Activation of the blocks; CLIP's QuickGELU by default.
        with_cp: Recompute each block's activations in the backward pass to save memory.
    """

    def __init__(
        self,
        *,
        width: int,
        num_layers: int,
        num_heads: int,
        act_cfg: dict | None = None,
        with_cp: bool = False,
    ) -> None:
        layer = clip_layer_cfg(width, num_heads, act_cfg)
        super().__init__([CLIPBlock(**layer) for _ in range(num_layers)])
        self.with_cp = with_cp

    def forward(self, x: Tensor, mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Run all blocks; see CLIPBlock for the shapes."""
        for block in self:
            if self.with_cp and self.training:
                x = checkpoint(block, x, mask, is_causal, use_reentrant=False)
            else:
                x = block(x, mask, is_causal)
        return x

    def init_weights(self) -> None:
        """Initialise the weights as CLIP does."""
        init_clip_blocks(self)


def init_clip_blocks(blocks: ModuleList) -> None:
    """Initialise a stack of blocks as CLIP does (Radford et al. 2021, section 2.4)."""
    for block in blocks:
        width = block.embed_dims
        # smaller with more blocks, because the residual branches add up
        residual_std = width**-0.5 * (2 * len(blocks)) ** -0.5
        linears = {
            block.attn.qkv: width**-0.5,
            block.attn.proj: residual_std,
            block.ffn.layers[0][0]: (2 * width) ** -0.5,
            block.ffn.layers[1]: residual_std,
        }
        for layer, std in linears.items():
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)
