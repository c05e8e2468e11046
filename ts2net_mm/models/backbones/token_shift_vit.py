"""CLIP's ViT with the token shift in its last blocks (the paper's Token Shift Transformer)."""

from collections.abc import Callable, Sequence

import torch
from mmaction.registry import MODELS
from mmengine.logging import print_log
from mmpretrain.models.backbones import VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..layers.lora import adapt_encoder
from ..layers.patches import with_neighbours
from ..layers.pretrained_last import PretrainedLast
from ..layers.transformer import CLIPBlock, clip_layer_cfg, init_clip_blocks

__all__ = ['TokenShiftViT']


@MODELS.register_module()
class TokenShiftViT(PretrainedLast, VisionTransformer):
    """CLIP's ViT over the frames of a video, with a token shift between frames.

    Some blocks shift tokens before attention: query, key and value see the shifted tokens, the
    residual path does not. The output is all tokens, after CLIP's last LayerNorm and projection,
    and for those who ask the attention of the last block.

    Args:
        embed_dims: Width of the transformer.
        num_layers: Number of blocks.
        num_heads: Attention heads of a block; CLIP has one per 64 channels.
        act_cfg: Activation of the blocks; QuickGELU by default, as in OpenAI's weights. Most
            weights from open_clip need ``dict(type='GELU')``.
        img_size: Height and width of a frame, pixels.
        patch_size: Height and width of a patch, pixels.
        patch_frames: Neighbouring frames that a patch covers, an odd number: 1 in CLIP; 3 is the
            3-d patch embedding of CLIP4Clip, whose weights are kept in one layer of 3 x
            ``patch_frames`` channels. CLIP's weights become those of the middle frame.
        out_dims: Size of the joint embedding.
        shift_layers: Indices of the blocks with a shift; negative from the end, () for none.
        num_shift_tokens: Approximate number of tokens that move in each direction; 7 in the
            released model.
        forward_offset: First token that takes its value from the previous frame; None for none.
        backward_offset: First token that takes its value from the next frame; None for none.
        shift: Config of what moves, such as ``ChannelShift``; ``TokenShift`` by default. The three
            settings above are those of the default, and unused if ``shift`` is given, also if it is
            a ``TokenShift``.
        mask_aware_shift: Stop the shift at the last valid frame; in the released model padding
            leaks into valid frames.
        frozen_stages: -1 trains everything, 0 freezes the embeddings and the first LayerNorm (the
            released recipe), n > 0 also the first n blocks. An embedding of patches with several
            frames is always trained, because its weights are new.
        frozen: Train nothing else.
        lora: Train adapters alone: settings of `LoRASettings`, ``{}`` for its defaults. Needs peft.
        with_cp: Recompute each block's activations in the backward pass to save memory.
        init_cfg: MMEngine's initialisation settings, such as ``CLIPPretrained``.

    Shape:
        - imgs: (B, T, 3, H, W), frame_mask: (B, T) bool -> (B, T, 1 + P, out_dims), [CLS] first
        - with_attention: also (B, T, P), the attention of [CLS] to each patch

    Raises:
        ValueError: If a shift layer does not exist, the shift does not fit the number of tokens,
            the frame size is not a multiple of the patch size, ``patch_frames`` is not odd, or both
            ``frozen`` and ``lora`` are set.

    Example:
        >>> import torch, ts2net_mm
        >>> from ts2net_mm.models import TokenShiftViT
        >>> vit = TokenShiftViT(embed_dims=32, num_layers=3, num_heads=2, img_size=56, patch_size=8,
        ...                     out_dims=16, shift_layers=(-2, -1))
        >>> vit(torch.rand(2, 4, 3, 56, 56), torch.ones(2, 4, dtype=torch.bool)).shape
        torch.Size([2, 4, 50, 16])
    """

    key_prefix = 'backbone.'  # of its weights in a whole model
    gives_attention = True

    def __init__(
        self,
        *,
        embed_dims: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
        img_size: int = 224,
        patch_size: int = 32,
        patch_frames: int = 1,
        out_dims: int = 512,
        shift_layers: Sequence[int] = (10, 11),
        num_shift_tokens: int = 7,
        forward_offset: int | None = 1,
        backward_offset: int | None = 4,
        shift: dict | None = None,
        mask_aware_shift: bool = True,
        act_cfg: dict | None = None,
        frozen_stages: int = -1,
        frozen: bool = False,
        lora: dict | None = None,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        if patch_frames < 1 or patch_frames % 2 == 0:
            raise ValueError(f'patch_frames={patch_frames} must be an odd number')
        layer = clip_layer_cfg(embed_dims, num_heads, act_cfg)
        super().__init__(
            arch=dict(
                embed_dims=embed_dims,
                num_layers=0,  # its blocks are CLIPBlocks, below
                num_heads=num_heads,
                feedforward_channels=layer['feedforward_channels'],
            ),
            img_size=img_size,
            patch_size=patch_size,
            in_channels=3 * patch_frames,
            out_indices=0,
            pre_norm=True,  # CLIP's ln_pre
            out_type='raw',  # all tokens
            norm_cfg=layer['norm_cfg'],
            init_cfg=init_cfg,
        )
        self.num_layers = num_layers
        self.patch_frames = patch_frames
        self.layers.extend(CLIPBlock(**layer) for _ in range(num_layers))
        self.proj = nn.Linear(embed_dims, out_dims, bias=False)
        self.shift_layers = _resolve_layers(shift_layers, num_layers)
        as_released = dict(
            type='mmaction.TokenShift',
            num_shift_tokens=num_shift_tokens,
            forward_offset=forward_offset,
            backward_offset=backward_offset,
        )
        sizes = dict(frame_shape=tuple(self.pos_embed.shape[1:]))
        self.shift = (
            MODELS.build(shift or as_released, default_args=sizes) if self.shift_layers else None
        )
        self.mask_aware_shift = mask_aware_shift
        self.with_cp = with_cp
        if not -1 <= frozen_stages <= num_layers:
            raise ValueError(f'frozen_stages={frozen_stages} must be -1 to {num_layers}')
        self.frozen_stages = frozen_stages
        self._freeze_stages()
        self.lora = adapt_encoder(self, num_layers, frozen=frozen, lora=lora)
        if patch_frames > 1:
            self.patch_embed.requires_grad_(True)

    def forward(
        self, imgs: Tensor, frame_mask: Tensor | None = None, with_attention: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Encode all tokens of all frames, and compute the attention of the last block if asked."""
        shape = imgs.shape[:2]
        if self.patch_frames > 1:
            imgs = with_neighbours(imgs, frame_mask, self.patch_frames)
        x = self._embed(imgs.flatten(0, 1))
        shift = self._shift_between(shape[1], frame_mask)
        for index, layer in enumerate(self.layers):
            before, moved = x, shift if index in self.shift_layers else None
            if self.with_cp and self.training:
                x = checkpoint(layer, x, None, False, moved, use_reentrant=False)
            else:
                x = layer(x, None, False, moved)
        # mmpretrain's ln1 is CLIP's ln_post
        tokens = self.proj(self.ln1(x)).unflatten(0, shape)
        if not with_attention:
            return tokens
        # an efficient attention keeps no weights
        return tokens, layer.cls_attention(before, moved)[:, 1:].unflatten(0, shape)

    def _embed(self, frames: Tensor) -> Tensor:
        """Embed the patches of frames: (N, C, H, W) -> (N, 1 + P, D)."""
        patch_height, patch_width = self.patch_embed.projection.kernel_size
        if frames.shape[-2] % patch_height or frames.shape[-1] % patch_width:
            raise ValueError(
                f'frames of {frames.shape[-2]} x {frames.shape[-1]} pixels do not divide into '
                f'patches of {patch_height} x {patch_width}'
            )
        x, resolution = self.patch_embed(frames)
        self._log_resize(resolution)
        x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1)
        x = x + self.resize_pos_embed(
            self.pos_embed, self.patch_resolution, resolution, self.interpolate_mode, 1
        )
        return self.pre_norm(x)

    def _log_resize(self, resolution: tuple[int, int]) -> None:
        old, new = self.patch_resolution, tuple(resolution)
        if new not in (old, getattr(self, '_logged_resize', None)):
            self._logged_resize = new
            print_log(
                f'visual positions: {old[0]} x {old[1]} patches resized to {new[0]} x {new[1]}',
                logger='current',
            )

    def _shift_between(
        self, num_frames: int, frame_mask: Tensor | None
    ) -> Callable[[Tensor], Tensor] | None:
        """The shift as a function of the tokens of all frames: (B * T, L, D) -> (B * T, L, D)."""
        if self.shift is None:
            return None
        shift, mask = self.shift, frame_mask if self.mask_aware_shift else None
        return lambda tokens: shift(tokens.unflatten(0, (-1, num_frames)), mask).flatten(0, 1)

    def _freeze_stages(self) -> None:
        if self.frozen_stages < 0:
            return
        self.pos_embed.requires_grad_(False)
        self.cls_token.requires_grad_(False)
        for module in (self.patch_embed, self.pre_norm, *self.layers[: self.frozen_stages]):
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> 'TokenShiftViT':
        """Set the mode and return the module; mmpretrain's backbones return None."""
        super().train(mode)
        return self

    def draw_weights(self) -> None:
        """Initialise the weights as CLIP does."""
        super().draw_weights()
        std = self.embed_dims**-0.5
        for parameter in (self.cls_token, self.pos_embed, self.proj.weight):
            nn.init.normal_(parameter, std=std)
        init_clip_blocks(self.layers)


def _resolve_layers(layers: Sequence[int], num_layers: int) -> frozenset[int]:
    missing = [layer for layer in layers if not -num_layers <= layer < num_layers]
    if missing:
        raise ValueError(f'shift_layers {missing} do not exist: the ViT has {num_layers} blocks')
    return frozenset(layer % num_layers for layer in layers)
