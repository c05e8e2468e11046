"""The frame of each token after the shift."""

import pytest
import torch

from ts2net_mm.models.layers.token_shift import shift_indices, shift_tokens


def frame_numbers(batch: int, num_frames: int, num_tokens: int) -> torch.Tensor:
    """Tokens (B, T, L, 1) with the value 100 x frame + token."""
    frames = torch.arange(num_frames).view(1, -1, 1, 1)
    tokens = torch.arange(num_tokens).view(1, 1, -1, 1)
    return (100 * frames + tokens).expand(batch, -1, -1, -1)


@pytest.mark.parametrize(
    ('num_tokens', 'forward', 'backward'),
    [
        (50, [1, 8, 15, 22, 29, 36, 43], [4, 11, 18, 25, 32, 39, 46]),  # ViT-B/32
        (197, [1, 29, 57, 85, 113, 141, 169], [4, 32, 60, 88, 116, 144, 172]),  # ViT-B/16
    ],
)
def test_released_indices(num_tokens, forward, backward):
    found = shift_indices(num_tokens)
    assert [index.tolist() for index in found] == [forward, backward]


def test_each_token_has_the_value_of_the_right_frame():
    x = frame_numbers(2, 4, 6)
    out = shift_tokens(x, torch.tensor([1, 3]), torch.tensor([4]))
    for frame in range(4):
        for token in range(6):
            source = frame
            if token in (1, 3) and frame > 0:
                source = frame - 1
            if token == 4 and frame < 3:
                source = frame + 1
            assert (out[:, frame, token] == 100 * source + token).all()


def test_one_frame_is_unchanged():
    x = frame_numbers(2, 1, 6)
    assert torch.equal(shift_tokens(x, torch.tensor([1]), torch.tensor([4])), x)


def test_shift_stops_at_the_last_valid_frame():
    x = frame_numbers(2, 4, 6)
    mask = torch.tensor([[True, True, False, False], [True, True, True, True]])
    out = shift_tokens(x, torch.tensor([1]), torch.tensor([4]), mask)
    alone = shift_tokens(x[:1, :2], torch.tensor([1]), torch.tensor([4]))
    assert torch.equal(out[:1, :2], alone)
    # a mask that is all true has no effect
    assert torch.equal(out[1:], shift_tokens(x[1:], torch.tensor([1]), torch.tensor([4])))


def test_a_gap_in_the_mask_is_not_crossed():
    x = frame_numbers(1, 3, 6)
    mask = torch.tensor([[True, False, True]])
    out = shift_tokens(x, torch.tensor([1]), torch.tensor([4]), mask)
    assert torch.equal(out[:, [0, 2]], x[:, [0, 2]])


def test_input_is_unchanged_and_gradients_follow_the_tokens():
    x = torch.rand(1, 3, 4, 2, dtype=torch.float64, requires_grad=True)
    before = x.detach().clone()
    mask = torch.tensor([[True, True, False]])
    arguments = torch.tensor([1]), torch.tensor([2]), mask
    shift_tokens(x, *arguments)
    assert torch.equal(x, before)
    assert torch.autograd.gradcheck(lambda t: shift_tokens(t, *arguments), x)


@pytest.mark.parametrize(
    ('num_tokens', 'settings', 'message'),
    [
        (22, dict(), 'forward and backward shift overlap.*stride 3'),
        (50, dict(num_shift_tokens=0), 'must be between 1 and the 50 tokens'),
        (50, dict(num_shift_tokens=51), 'must be between 1 and the 50 tokens'),
        (50, dict(forward_offset=50), 'forward_offset=50 is outside the 50 tokens'),
        (50, dict(backward_offset=50), 'backward_offset=50 is outside the 50 tokens'),
    ],
)
def test_impossible_geometry(num_tokens, settings, message):
    with pytest.raises(ValueError, match=message):
        shift_indices(num_tokens, **settings)
