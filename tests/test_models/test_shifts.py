"""Which frame each token, or channel of a token, comes from."""

import pytest
import torch

from ts2net_mm.models import ChannelShift, RandomTokenShift, TokenShift

NUM_TOKENS, CHANNELS = 10, 16


def source_frames(shift, num_frames: int = 4, num_valid: int = 4) -> torch.Tensor:
    """The frame that each value comes from, less the frame where it is: (T, L, D)."""
    frames = torch.arange(num_frames)[:, None, None].expand(-1, NUM_TOKENS, CHANNELS)
    mask = torch.arange(num_frames) < num_valid
    return (shift(frames[None], mask[None])[0] - frames)[:num_valid]


def expected_frames(forward, backward, num_valid: int = 4) -> torch.Tensor:
    """The same, if `forward` and `backward` say which values of a frame move (L, D)."""
    expected = torch.zeros(num_valid, NUM_TOKENS, CHANNELS, dtype=torch.int64)
    for frame in range(num_valid):
        if frame > 0:
            expected[frame][forward] = -1
        if frame < num_valid - 1:
            expected[frame][backward] = 1
    return expected


def region(tokens, channels=range(CHANNELS)) -> torch.Tensor:
    """True at the channels of the tokens: (L, D)."""
    found = torch.zeros(NUM_TOKENS, CHANNELS, dtype=torch.bool)
    for token in tokens:
        found[token, list(channels)] = True
    return found


@pytest.mark.parametrize('num_valid', [4, 2, 1])
@pytest.mark.parametrize(
    ('settings', 'forward', 'backward'),
    [
        (dict(num_shift_tokens=2), [1, 6], [4, 9]),
        (dict(num_shift_tokens=2, forward_offset=3, backward_offset=2), [3, 8], [2, 7]),
        (dict(num_shift_tokens=2, backward_offset=None), [1, 6], []),
        (dict(num_shift_tokens=2, forward_offset=None), [], [4, 9]),
        (dict(num_shift_tokens=5, backward_offset=2), [1, 3, 5, 7, 9], [2, 4, 6, 8]),
        (dict(num_shift_tokens=10, backward_offset=None), range(1, 10), []),  # the whole frame
    ],
)
def test_whole_tokens(settings, forward, backward, num_valid):
    shift = TokenShift(frame_shape=(NUM_TOKENS, CHANNELS), **settings)
    expected = expected_frames(region(forward), region(backward), num_valid)
    assert torch.equal(source_frames(shift, num_valid=num_valid), expected)


@pytest.mark.parametrize('num_valid', [4, 2])
@pytest.mark.parametrize(
    ('tokens', 'moving'), [('all', range(10)), ('patches', range(1, 10)), ('cls', [0])]
)
@pytest.mark.parametrize(('fraction', 'moved'), [(1 / 8, 2), (1 / 4, 4), (1 / 2, 8)])
def test_part_of_the_channels(tokens, moving, fraction, moved, num_valid):
    shift = ChannelShift(frame_shape=(NUM_TOKENS, CHANNELS), tokens=tokens, fraction=fraction)
    forward, backward = region(moving, range(moved)), region(moving, range(moved, 2 * moved))
    expected = expected_frames(forward, backward, num_valid)
    assert torch.equal(source_frames(shift, num_valid=num_valid), expected)


def test_random_patches_follow_from_the_seed():
    def moves(seed):
        torch.manual_seed(seed + 17)
        shift = RandomTokenShift(frame_shape=(NUM_TOKENS, CHANNELS), num_shift_tokens=3, seed=seed)
        found = source_frames(shift)[1]  # of a frame with two neighbours
        assert (found == found[:, :1]).all()
        return found[:, 0].tolist()

    drawn = [moves(seed) for seed in range(20)]
    assert all(sorted(found) == [-1] * 3 + [0] * 4 + [1] * 3 for found in drawn)
    assert all(found[0] == 0 for found in drawn)  # [CLS] stays
    assert moves(3) == drawn[3]
    assert len({tuple(found) for found in drawn}) > 15


def test_frames_of_another_size():
    shift = TokenShift(frame_shape=(NUM_TOKENS, CHANNELS), num_shift_tokens=2)
    frames = torch.arange(3)[None, :, None, None].expand(1, 3, 20, CHANNELS)
    moved = (shift(frames) - frames)[0, 1, :, 0]
    assert torch.nonzero(moved == -1).flatten().tolist() == [1, 11]
    assert torch.nonzero(moved == 1).flatten().tolist() == [4, 14]


@pytest.mark.parametrize(
    ('part', 'settings', 'message'),
    [
        (ChannelShift, dict(tokens='words'), "tokens='words' is unknown, choose one of"),
        (ChannelShift, dict(fraction=0.6), 'moves 9 of 16 channels in each direction'),
        (ChannelShift, dict(fraction=0.01), 'moves 0 of 16 channels'),
        (RandomTokenShift, dict(num_shift_tokens=5), 'between 1 and half of the 9 patches'),
        (TokenShift, dict(num_shift_tokens=11), 'between 1 and the 10 tokens'),
    ],
)
def test_bad_settings(part, settings, message):
    with pytest.raises(ValueError, match=message):
        part(frame_shape=(NUM_TOKENS, CHANNELS), **settings)
