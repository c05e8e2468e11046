"""The temporal transformer."""

import pytest
import torch

from ts2net_mm.models import TemporalTransformer


def silence(temporal: TemporalTransformer) -> None:
    """Make the blocks return their input."""
    for block in temporal.layers:
        for linear in (block.attn.proj, block.ffn.layers[1]):
            torch.nn.init.zeros_(linear.weight)
            torch.nn.init.zeros_(linear.bias)


def build(**settings) -> TemporalTransformer:
    torch.manual_seed(0)
    sizes = dict(embed_dims=16, num_layers=2, num_heads=2, num_positions=24)
    temporal = TemporalTransformer(**(sizes | settings))
    temporal.init_weights()
    return temporal.eval()


@pytest.fixture
def tokens():
    torch.manual_seed(1)
    return torch.rand(3, 6, 4, 16)


def mask_of(*lengths: int, num_frames: int = 6) -> torch.Tensor:
    return torch.arange(num_frames) < torch.tensor(lengths)[:, None]


def test_padding_equals_the_shorter_video(tokens):
    temporal = build()
    padded = temporal(tokens, mask_of(4, 4, 4))
    torch.testing.assert_close(padded[:, :4], temporal(tokens[:, :4], mask_of(4, 4, 4)[:, :4]))


def test_tiled_mask_is_that_of_the_release(tokens):
    frame, tiled = build(), build(mask_order='tiled')
    torch.testing.assert_close(frame(tokens, mask_of(6, 6, 6)), tiled(tokens, mask_of(6, 6, 6)))
    assert not torch.allclose(frame(tokens, mask_of(4, 4, 4)), tiled(tokens, mask_of(4, 4, 4)))


def test_result_is_the_cls_position_with_its_input_added(tokens):
    temporal = build()
    silence(temporal)
    expected = 2 * tokens[:, :, 0] + temporal.pos_embed[::4]
    torch.testing.assert_close(temporal(tokens, mask_of(6, 6, 6)), expected)


def test_without_the_residual_the_input_is_not_added(tokens):
    temporal = build(residual=False)
    silence(temporal)
    expected = tokens[:, :, 0] + temporal.pos_embed[::4]
    torch.testing.assert_close(temporal(tokens, mask_of(6, 6, 6)), expected)


def test_positions_of_frames_are_shared_by_their_tokens(tokens):
    temporal = build(positions='frame', num_positions=6, residual=False)
    silence(temporal)
    seen = []
    temporal.layers.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    expected = tokens[:, :, 0] + temporal.pos_embed
    torch.testing.assert_close(temporal(tokens, mask_of(6, 6, 6)), expected)
    added = seen[0].view_as(tokens) - tokens
    torch.testing.assert_close(added, temporal.pos_embed[None, :, None].expand_as(tokens))


def test_longer_videos_stretch_the_table():
    temporal = build()
    ramp = torch.linspace(0, 1, 24)[:, None].expand(24, 16)
    temporal.pos_embed.data.copy_(ramp)
    stretched = temporal._positions(47, 1)
    torch.testing.assert_close(stretched[:, 0], torch.linspace(0, 1, 47))
    assert temporal(torch.rand(1, 12, 4, 16), mask_of(12, num_frames=12)).shape == (1, 12, 16)


def test_new_positions_are_a_frame_code_plus_a_slot_code():
    table = build(tokens_per_frame=4, frame_std=0.5, slot_std=0.1).pos_embed.detach().view(6, 4, 16)
    slots = table - table[:, :1]
    torch.testing.assert_close(slots, slots[:1].expand(6, -1, -1))
    assert 0.3 < (table[:, 0] - table[:, 0].mean(dim=0)).std() < 0.7


def test_errors():
    with pytest.raises(ValueError, match='28 tokens .* exceed the 24 temporal positions'):
        build(stretch_positions=False)(torch.rand(1, 7, 4, 16), mask_of(7, num_frames=7))
    frames = build(stretch_positions=False, positions='frame', num_positions=6)
    with pytest.raises(ValueError, match='7 frames exceed the 6 temporal positions'):
        frames(torch.rand(1, 7, 4, 16), mask_of(7, num_frames=7))
    with pytest.raises(ValueError, match="positions='patch' is unknown"):
        build(positions='patch')
    with pytest.raises(ValueError, match="mask_order='token' is unknown"):
        build(mask_order='token')
