"""Token shift: whole tokens move one frame forward or backward."""

import torch
from torch import Tensor

__all__ = ['shift_indices', 'shift_tokens']


def shift_indices(
    num_tokens: int,
    num_shift_tokens: int = 7,
    *,
    forward_offset: int = 1,
    backward_offset: int = 4,
) -> tuple[Tensor, Tensor]:
    """Choose the tokens of a frame to shift, evenly spread over the frame.

    With the stride ``num_tokens // num_shift_tokens`` the tokens ``forward_offset, forward_offset +
    stride, ...`` move forward (they take their value from the previous frame) and the tokens
    ``backward_offset, backward_offset + stride, ...`` move backward.

    Args:
        num_tokens: Tokens of a frame, [CLS] included (token 0).
        num_shift_tokens: Sets the stride; about as many tokens move in each direction. 7 in the
            released model.
        forward_offset: First token that takes its value from the previous frame.
        backward_offset: First token that takes its value from the next frame.

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
    for name, offset in (
        ('forward_offset', forward_offset),
        ('backward_offset', backward_offset),
    ):
        if not 0 <= offset < num_tokens:
            raise ValueError(f'{name}={offset} is outside the {num_tokens} tokens of a frame')
    stride = num_tokens // num_shift_tokens
    forward = range(forward_offset, num_tokens, stride)
    backward = range(backward_offset, num_tokens, stride)
    common = sorted(set(forward) & set(backward))
    if common:
        raise ValueError(
            f'forward and backward shift overlap: with {num_tokens} tokens a frame, '
            f'num_shift_tokens={num_shift_tokens} (stride {stride}) and offsets {forward_offset} '
            f'and {backward_offset}, tokens {common[:5]} would move in both directions'
        )
    return torch.tensor(forward), torch.tensor(backward)


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
