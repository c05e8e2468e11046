"""Temporal transformer over the selected tokens of all frames."""

from typing import Literal, get_args

import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn, randn, zeros

from ..layers.transformer import CLIPTransformer, MaskOrder, check_mask_order

__all__ = ['TemporalTransformer']

Positions = Literal['token', 'frame']


@MODELS.register_module()
class TemporalTransformer(BaseModule):
    """CLIP blocks over the tokens of all frames; the result is each frame's [CLS] position.

    Positions are added to the tokens, the tokens of valid frames attend to each other, and the
    input is added to the output.

    Args:
        embed_dims: Size of a token.
        num_layers: Number of blocks; 4 in the released model.
        num_heads: Attention heads of a block; CLIP has one per 64 channels.
        num_positions: Rows of the position table; 77 in the released model, which copies them from
            CLIP's text encoder.
        positions: 'token' gives each token of a video a row of the table, 'frame' each frame.
        stretch_positions: Stretch the table by linear interpolation if a video needs more rows (as
            64 frames of 4 tokens do); False raises an error instead.
        tokens_per_frame: Only for the initialisation of the table: number of tokens that share the
            code of a frame; by default that of the neck inside TS2Net, else 1.
        act_cfg: Activation of the blocks; CLIP's QuickGELU by default.
        frame_std: Only for the initialisation: standard deviation of the code of a frame.
        slot_std: Only for the initialisation: standard deviation of the code of a place in a frame.
        mask_order: 'frame' masks the tokens of invalid frames; 'tiled' repeats the frame mask over
            the tokens as the released code does, which is correct only if all frames are valid.
        residual: Add the input to the output.
        start_from_clip: Copy blocks and positions from the text encoder when CLIP's weights are
            loaded; False keeps the random initialisation.
        with_cp: Recompute each block's activations in the backward pass to save memory.
        init_cfg: MMEngine's initialisation settings.

    Shape:
        - tokens: (B, T, 1 + K, D), frame_mask: (B, T) bool -> (B, T, D)

    Raises:
        ValueError: If a video needs more positions than there are and ``stretch_positions`` is
            False, or ``positions`` or ``mask_order`` is unknown.
    """

    def __init__(
        self,
        *,
        embed_dims: int = 512,
        num_layers: int = 4,
        num_heads: int = 8,
        num_positions: int = 77,
        positions: Positions = 'token',
        stretch_positions: bool = True,
        tokens_per_frame: int | None = None,
        act_cfg: dict | None = None,
        frame_std: float = 0.5,
        slot_std: float = 0.1,
        mask_order: MaskOrder = 'frame',
        residual: bool = True,
        start_from_clip: bool = True,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        check_mask_order(mask_order)
        if positions not in get_args(Positions):
            raise ValueError(
                f'positions={positions!r} is unknown, choose one of {get_args(Positions)}'
            )
        self.positions = positions
        self.stretch_positions = stretch_positions
        self.tokens_per_frame = tokens_per_frame
        self.frame_std = frame_std
        self.slot_std = slot_std
        self.mask_order = mask_order
        self.residual = residual
        self.start_from_clip = start_from_clip
        self.pos_embed = nn.Parameter(zeros(num_positions, embed_dims))
        self.layers = CLIPTransformer(
            width=embed_dims,
            num_layers=num_layers,
            num_heads=num_heads,
            act_cfg=act_cfg,
            with_cp=with_cp,
        )

    def forward(self, tokens: Tensor, frame_mask: Tensor) -> Tensor:
        """Run the blocks over all tokens of a video."""
        batch, num_frames, per_frame, dims = tokens.shape
        x = tokens.reshape(batch, num_frames * per_frame, dims)
        if self.mask_order == 'frame':
            token_mask = frame_mask.repeat_interleave(per_frame, dim=1)
        else:
            token_mask = frame_mask.repeat(1, per_frame)
        # the mask hides keys: (B, L) -> (B, 1, 1, L)
        positions = self._positions(num_frames, per_frame)
        out = self.layers(x + positions, token_mask[:, None, None])
        out = x + out if self.residual else out
        return out.view_as(tokens)[:, :, 0]

    def _positions(self, num_frames: int, per_frame: int) -> Tensor:
        """Positions of the tokens of a video: (T * (1 + K), D)."""
        if self.positions == 'frame':
            return self._rows(num_frames).repeat_interleave(per_frame, dim=0)
        return self._rows(num_frames * per_frame)

    def _rows(self, number: int) -> Tensor:
        num_positions = len(self.pos_embed)
        if number <= num_positions:
            return self.pos_embed[:number]
        if not self.stretch_positions:
            what = 'frames' if self.positions == 'frame' else 'tokens (frames x tokens of a frame)'
            raise ValueError(
                f'{number} {what} exceed the {num_positions} '
                'temporal positions: use fewer frames, more positions or stretch_positions=True'
            )
        self._log_stretch(number)
        table = self.pos_embed.T[None]  # (1, D, positions)
        # the first and the last row stay where they are
        return F.interpolate(table, size=number, mode='linear', align_corners=True)[0].T

    def _log_stretch(self, number: int) -> None:
        if number != getattr(self, '_logged_stretch', None):
            self._logged_stretch = number
            print_log(
                f'temporal positions: {len(self.pos_embed)} stretched to {number} by linear '
                'interpolation',
                logger='current',
            )

    def init_weights(self) -> None:
        """Initialise the blocks as CLIP does, positions as a frame code plus a slot code."""
        num_positions, dims = self.pos_embed.shape
        per_frame = 1 if self.positions == 'frame' else self.tokens_per_frame or 1
        num_frames = -(-num_positions // per_frame)
        frame_codes = self.frame_std * randn(num_frames, 1, dims)
        slot_codes = self.slot_std * randn(1, per_frame, dims)
        table = (frame_codes + slot_codes).flatten(0, 1)[:num_positions]
        self.pos_embed.data.copy_(table)
        super().init_weights()
