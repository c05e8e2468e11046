"""What moves between frames: whole tokens as in the paper, tokens at random, or some channels."""

from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from ..layers.token_shift import random_shift_indices, shift_indices, shift_tokens

__all__ = ['ChannelShift', 'RandomTokenShift', 'TokenShift']

ShiftedTokens = Literal['all', 'patches', 'cls']


class _ChosenTokenShift(nn.Module):
    """Shift the tokens that a function chooses from the number of tokens of a frame."""

    forward_index: Tensor
    backward_index: Tensor

    def __init__(self, num_tokens: int, choose: Callable[[int], tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.num_tokens = num_tokens
        self.choose = choose
        forward, backward = choose(num_tokens)
        # not saved, as they follow from the settings
        self.register_buffer('forward_index', forward, persistent=False)
        self.register_buffer('backward_index', backward, persistent=False)

    def forward(self, tokens: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        """Shift the tokens between neighbouring frames."""
        indices = self.forward_index, self.backward_index
        if tokens.shape[2] != self.num_tokens:
            indices = self.choose(tokens.shape[2])
        return shift_tokens(tokens, *indices, frame_mask)


@MODELS.register_module()
class TokenShift(_ChosenTokenShift):
    """Shift tokens that are evenly spread over the frame, as the paper does.

    Args:
        frame_shape: Tokens of a frame, [CLS] included, and channels of a token; the backbone adds
            it.
        num_shift_tokens: Approximate number of tokens that move in each direction; 7 in the
            released model.
        forward_offset: First token that takes its value from the previous frame; None for none.
        backward_offset: First token that takes its value from the next frame; None for none.

    Shape:
        - tokens: (B, T, L, D), frame_mask: (B, T) bool -> (B, T, L, D)

    Raises:
        ValueError: If the two sets of tokens overlap or do not fit the frame.

    Example:
        >>> import torch, ts2net_mm
        >>> from ts2net_mm.models import TokenShift
        >>> TokenShift(frame_shape=(50, 768)).forward_index
        tensor([ 1,  8, 15, 22, 29, 36, 43])
    """

    def __init__(
        self,
        *,
        frame_shape: tuple[int, int],
        num_shift_tokens: int = 7,
        forward_offset: int | None = 1,
        backward_offset: int | None = 4,
    ) -> None:
        choose = partial(
            shift_indices,
            num_shift_tokens=num_shift_tokens,
            forward_offset=forward_offset,
            backward_offset=backward_offset,
        )
        super().__init__(frame_shape[0], choose)


@MODELS.register_module()
class RandomTokenShift(_ChosenTokenShift):
    """Shift patches that are drawn once, from a seed; [CLS] does not move.

    Args:
        frame_shape: Tokens of a frame, [CLS] included, and channels of a token; the backbone adds
            it.
        num_shift_tokens: Number of tokens that move in each direction.
        seed: Seed of the draw.

    Shape:
        - tokens: (B, T, L, D), frame_mask: (B, T) bool -> (B, T, L, D)

    Raises:
        ValueError: If the frame has too few patches.

    Example:
        >>> import torch, ts2net_mm
        >>> from ts2net_mm.models import RandomTokenShift
        >>> RandomTokenShift(frame_shape=(50, 768), seed=1)(torch.rand(2, 4, 50, 768)).shape
        torch.Size([2, 4, 50, 768])
    """

    def __init__(
        self, *, frame_shape: tuple[int, int], num_shift_tokens: int = 7, seed: int = 0
    ) -> None:
        choose = partial(random_shift_indices, num_shift_tokens=num_shift_tokens, seed=seed)
        super().__init__(frame_shape[0], choose)


@MODELS.register_module()
class ChannelShift(nn.Module):
    """Shift a part of the channels of tokens (TSM, Lin et al. 2019, arXiv 1811.08383).

    The first channels take their value from the previous frame, as many channels after them from
    the next. Where there is no neighbour, a token keeps its own channels; TSM sets them to zero.

    Args:
        frame_shape: Tokens of a frame, [CLS] included, and channels of a token; the backbone adds
            it.
        fraction: Part of the channels that moves in each direction; 1/8 in TSM.
        tokens: Whose channels move: 'all', 'patches' or 'cls'.

    Shape:
        - tokens: (B, T, L, D), frame_mask: (B, T) bool -> (B, T, L, D)

    Raises:
        ValueError: If ``fraction`` moves no channel or more than there are, or ``tokens`` is
            unknown.

    Example:
        >>> import torch, ts2net_mm
        >>> from ts2net_mm.models import ChannelShift
        >>> ChannelShift(frame_shape=(50, 768), tokens='cls')(torch.rand(2, 4, 50, 768)).shape
        torch.Size([2, 4, 50, 768])
    """

    forward_index: Tensor
    backward_index: Tensor

    def __init__(
        self,
        *,
        frame_shape: tuple[int, int],
        fraction: float = 1 / 8,
        tokens: ShiftedTokens = 'all',
    ) -> None:
        super().__init__()
        if tokens not in get_args(ShiftedTokens):
            raise ValueError(
                f'tokens={tokens!r} is unknown, choose one of {get_args(ShiftedTokens)}'
            )
        num_channels = frame_shape[1]
        moved = int(fraction * num_channels)
        if not 1 <= moved <= num_channels // 2:
            raise ValueError(
                f'fraction={fraction} moves {moved} of {num_channels} channels in each direction, '
                'expected from 1 to half of them'
            )
        self.tokens = tokens
        self.register_buffer('forward_index', torch.arange(moved), persistent=False)
        self.register_buffer('backward_index', torch.arange(moved, 2 * moved), persistent=False)

    def forward(self, tokens: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        """Shift the channels between neighbouring frames."""
        start = 1 if self.tokens == 'patches' else 0
        end = 1 if self.tokens == 'cls' else tokens.shape[2]
        channels = tokens[:, :, start:end].transpose(2, 3)
        moved = shift_tokens(channels, self.forward_index, self.backward_index, frame_mask)
        parts = tokens[:, :, :start], moved.transpose(2, 3), tokens[:, :, end:]
        return torch.cat(parts, dim=2)
