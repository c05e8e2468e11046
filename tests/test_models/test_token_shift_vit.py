"""The frame encoder."""

import pytest
import torch
import torch.nn.functional as F

from ts2net_mm.models import TokenShiftViT


def build(**settings) -> TokenShiftViT:
    torch.manual_seed(0)
    sizes = dict(embed_dims=32, num_layers=3, num_heads=2, img_size=32, patch_size=8, out_dims=16)
    vit = TokenShiftViT(**(sizes | dict(shift_layers=(1, 2), num_shift_tokens=4) | settings))
    vit.init_weights()
    return vit.eval()


@pytest.fixture
def imgs():
    torch.manual_seed(1)
    return torch.rand(2, 4, 3, 32, 32)


def test_without_shift_frames_are_independent(imgs):
    vit = build(shift_layers=())
    tokens = vit(imgs)
    alone = torch.stack([vit(imgs[:, t : t + 1])[:, 0] for t in range(4)], dim=1)
    torch.testing.assert_close(tokens, alone)
    assert vit.shift is None


@pytest.mark.parametrize('shift_layers', [(2,), (1, 2)])
def test_each_shift_layer_reaches_one_frame_further(imgs, shift_layers):
    vit = build(shift_layers=shift_layers)
    changed = imgs.clone()
    changed[:, 0] += 1.0
    moved = (vit(changed) - vit(imgs)).abs().amax(dim=(0, 2, 3)) > 1e-6
    assert moved.tolist() == [frame <= len(shift_layers) for frame in range(4)]


def test_padding_does_not_leak(imgs):
    vit = build()
    mask = torch.tensor([[True, True, False, False]]).expand(2, 4)
    torch.testing.assert_close(vit(imgs, mask)[:, :2], vit(imgs[:, :2]))


def test_padding_leaks_as_in_the_release_when_asked(imgs):
    mask = torch.tensor([[True, True, False, False]]).expand(2, 4)
    released = build(mask_aware_shift=False)
    assert torch.equal(released(imgs, mask), released(imgs))
    assert not torch.allclose(released(imgs, mask)[:, :2], released(imgs[:, :2]))


def test_patches_of_several_frames_are_a_convolution_over_time(imgs):
    """Conv3d over three frames, with zeros before the first and after the last valid one."""
    vit = build(patch_frames=3)
    torch.nn.init.normal_(vit.patch_embed.projection.weight)
    seen = []
    vit.patch_embed.register_forward_hook(lambda module, args, out: seen.append(out[0]))
    vit(imgs, torch.arange(4) < torch.tensor([[4], [3]]))
    imgs[1, 3] = 0.0
    # (D, 3 frames x 3 channels, P, P) -> (D, channels, frames, P, P)
    kernel = vit.patch_embed.projection.weight.unflatten(1, (3, 3)).transpose(1, 2)
    bias = vit.patch_embed.projection.bias
    expected = F.conv3d(imgs.transpose(1, 2), kernel, bias, stride=(1, 8, 8), padding=(1, 0, 0))
    expected = expected.permute(0, 2, 3, 4, 1).reshape(8, 16, 32)
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-4)


def test_patches_of_several_frames_are_trained():
    for settings in (dict(frozen_stages=0), dict(frozen=True)):
        assert not build(**settings).patch_embed.projection.weight.requires_grad
        vit = build(**settings, patch_frames=3)
        assert vit.patch_embed.projection.weight.requires_grad
        assert not vit.pos_embed.requires_grad
    with pytest.raises(ValueError, match='patch_frames=2 must be an odd number'):
        build(patch_frames=2)


def test_other_resolutions_are_logged_once(imgs, log_records):
    vit = build()
    for _ in range(2):
        assert vit(torch.rand(1, 1, 3, 64, 64)).shape == (1, 1, 65, 16)
        vit(imgs)
    told = [r.getMessage() for r in log_records if 'visual positions' in r.getMessage()]
    assert told == ['visual positions: 4 x 4 patches resized to 8 x 8']


def test_checkpointing_gives_the_same_gradients(imgs):
    mask = torch.tensor([[True, True, True, False]]).expand(2, 4)
    gradients = []
    for with_cp in (False, True):
        vit = build(with_cp=with_cp).train()
        vit(imgs, mask).square().mean().backward()
        gradients.append([p.grad for p in vit.parameters()])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    'shift',
    [
        dict(type='RandomTokenShift', num_shift_tokens=2),
        dict(type='ChannelShift', fraction=1 / 4),
        dict(type='ChannelShift', tokens='cls'),
    ],
)
def test_another_shift(imgs, shift):
    vit = build(shift_layers=(1,), shift=shift)
    assert type(vit.shift).__name__ == shift['type']
    mask = torch.tensor([[True, True, True, False]]).expand(2, 4)
    torch.testing.assert_close(vit(imgs, mask)[:, :3], vit(imgs[:, :3]))
    changed = imgs.clone()
    changed[:, 0] += 1.0
    moved = (vit(changed) - vit(imgs)).abs().amax(dim=(0, 2, 3)) > 1e-6
    assert moved.tolist() == [True, True, False, False]


@pytest.mark.parametrize('shift_layers', [(), (2,)])
def test_attention_is_that_of_the_last_block(imgs, shift_layers):
    vit = build(shift_layers=shift_layers)
    block, seen = vit.layers[-1], []
    block.ln1.register_forward_hook(lambda *call: seen.append(call[2].detach()))
    tokens, attention = vit(imgs, with_attention=True)
    assert torch.equal(tokens, vit(imgs))
    x = seen[0]  # (8, 17, 32)
    if vit.shift is not None:
        x = vit.shift(x.unflatten(0, (2, 4))).flatten(0, 1)
    query, key, _ = block.attn.qkv(x).chunk(3, dim=-1)
    weights = [
        (query[:, :1, head] @ key[:, :, head].mT / 4).softmax(dim=-1)  # 16 channels a head
        for head in (slice(16), slice(16, 32))
    ]
    expected = (weights[0] + weights[1]) / 2
    torch.testing.assert_close(attention, expected[:, 0, 1:].unflatten(0, (2, 4)))


@pytest.mark.parametrize('frozen_stages', [-1, 0, 2, 3])
def test_freezing(frozen_stages):
    vit = build(frozen_stages=frozen_stages)
    frozen = {name for name, p in vit.named_parameters() if not p.requires_grad}
    stem = {
        'cls_token',
        'pos_embed',
        'patch_embed.projection.weight',
        'pre_norm.weight',
        'pre_norm.bias',
    }
    blocks = {int(name.split('.')[1]) for name in frozen if name.startswith('layers.')}
    assert blocks == set(range(max(0, frozen_stages)))
    others = {name for name in frozen if not name.startswith('layers.')}
    assert others == (stem if frozen_stages >= 0 else set())


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(shift_layers=(3,)), r'shift_layers \[3\] do not exist: the ViT has 3 blocks'),
        (dict(num_shift_tokens=18), 'between 1 and the 17 tokens'),
        (dict(num_shift_tokens=6, backward_offset=3), 'overlap'),
        (dict(frozen_stages=4), 'frozen_stages=4 must be -1 to 3'),
        (dict(num_heads=3), 'width 32 is not a multiple of num_heads=3'),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)
    with pytest.raises(ValueError, match='33 x 32 pixels do not divide into patches of 8'):
        build()(torch.rand(1, 2, 3, 33, 32))
