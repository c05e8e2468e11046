"""Token shift: whole tokens move one frame forward or backward."""

import torch
from torch import Tensor

__all__ = ['random_shift_indices', 'shift_indices', 'shift_tokens']


def shift_indices(
    num_tokens: int,
    num_shift_tokens: int = 7,
    *,
    forward_offset: int | None = 1,
    backward_offset: int | None = 4,
) -> tuple[Tensor, Tensor]:
    """Choose the tokens of a frame to shift, evenly spread over the frame.

    With the stride ``num_tokens // num_shift_tokens`` the tokens ``forward_offset, forward_offset +
    stride, ...`` move forward (they take their value from the previous frame) and the tokens
    ``backward_offset, backward_offset + stride, ...`` move backward.

    Args:
        num_tokens: Tokens of a frame, [CLS] included (token 0).
        num_shift_tokens: Sets the stride; about as many tokens move in each direction. 7 in the
            released model.
        forward_offset: First token that takes its value from the previous frame; None for none.
        backward_offset: First token that takes its value from the next frame; None for none.

    Returns:
        The forward and the backward indices, int64.

    Raises:
        ValueError: If the two sets overlap or do not fit the frame.
    """
    if num_shift_tokens < 1 or num_shift_tokens > num_tokens:
        raise ValueError(
            f'num_shift_tokens={num_shift_tokens} must be between 1 and the {num_tokens} tokens of '
            'a frame ([CLS] included); use shift_layers=() to disable the shift'
        )
    offsets = dict(forward_offset=forward_offset, backward_offset=backward_offset)
    for name, offset in offsets.items():
        if offset is not None and not 0 <= offset < num_tokens:
            raise ValueError(f'{name}={offset} is outside the {num_tokens} tokens of a frame')
    stride = num_tokens // num_shift_tokens
    forward, backward = (
        range(num_tokens if offset is None else offset, num_tokens, stride)
        for offset in offsets.values()
    )
    common = sorted(set(forward) & set(backward))
    if common:
        raise ValueError(
            f'forward and backward shift overlap: with {num_tokens} tokens a frame, '
            f'num_shift_tokens={num_shift_tokens} (stride {stride}) and offsets {forward_offset} '
            f'and {backward_offset}, tokens {common[:5]} would move in both directions'
        )
    return torch.tensor(forward, dtype=torch.int64), torch.tensor(backward, dtype=torch.int64)


def random_shift_indices(
    num_tokens: int, num_shift_tokens: int = 7, *, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Draw the patches of a frame to shift.

    Args:
        num_tokens: Tokens of a frame, [CLS] included, which does not move.
        num_shift_tokens: Number of tokens that move in each direction.
        seed: Seed of the draw, which depends on nothing else.

    Returns:
        The forward and the backward indices, int64, sorted.

    Raises:
        ValueError: If the frame has too few patches.
    """
    if not 1 <= num_shift_tokens <= (num_tokens - 1) // 2:
        raise ValueError(
            f'num_shift_tokens={num_shift_tokens} in each direction must be between 1 and half of '
            f'the {num_tokens - 1} patches of a frame'
        )
    generator = torch.Generator().manual_seed(seed)
    drawn = 1 + torch.randperm(num_tokens - 1, generator=generator, device='cpu')
    forward, backward = drawn[: 2 * num_shift_tokens].chunk(2)
    return forward.sort().values, backward.sort().values


def shift_tokens(
    x: Tensor,
    forward_index: Tensor,
    backward_index: Tensor,
    frame_mask: Tensor | None = None,
) -> Tensor:
    """Shift tokens between neighbouring frames; all other tokens are unchanged.

    The first and the last frame keep their own tokens where they have no neighbour.

    Args:
        x: Tokens of every frame.
        forward_index: Tokens that take their value from the previous frame.
        backward_index: Tokens that take their value from the next frame.
        frame_mask: True for valid frames, which take no token from an invalid frame. None treats
            all frames as valid.

    Shape:
        - x: (B, T, L, D) -> (B, T, L, D)
        - frame_mask: (B, T) bool
    """
    out = x.clone()
    from_previous = x[:, :-1, forward_index]
    from_next = x[:, 1:, backward_index]
    if frame_mask is not None:
        # where the neighbour is invalid, a token keeps its own value
        valid = frame_mask[:, :, None, None]
        from_previous = torch.where(valid[:, :-1], from_previous, x[:, 1:, forward_index])
        from_next = torch.where(valid[:, 1:], from_next, x[:, :-1, backward_index])
    out[:, 1:, forward_index] = from_previous
    out[:, :-1, backward_index] = from_next
    return out
