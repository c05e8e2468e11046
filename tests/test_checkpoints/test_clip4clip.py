"""CLIP4Clip's three models against their definitions written out (arXiv 2104.08860, section 3)."""

import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import nn

from ts2net_mm.checkpoints import Checkpoint, config_of, load_weights

LENGTHS = torch.tensor([6, 4, 1])


@pytest.fixture
def videos():
    torch.manual_seed(4)
    mask = torch.arange(6) < LENGTHS[:, None]
    return torch.randn(3, 6, 3, 32, 32) * mask[..., None, None, None], mask


def build(weights):
    checkpoint = Checkpoint(weights)
    model = MODELS.build(config_of(checkpoint))
    load_weights(model, checkpoint)
    return model.eval()


def mean_pooled(text, frames, lengths, scale):
    """Frames normalised, averaged over the valid ones, normalised again."""
    videos = torch.stack(
        [F.normalize(f[:n], dim=-1).mean(0) for f, n in zip(frames, lengths, strict=True)]
    )
    return scale.exp() * F.normalize(text, dim=-1) @ F.normalize(videos, dim=-1).T


def temporal(kind, weights, frames):
    """Apply the temporal part of a kind to the valid frames of one video: (T, D) -> (T, D)."""
    if kind == 'meanP':
        return frames
    if kind == 'seqLSTM':
        lstm = nn.LSTM(48, 48, batch_first=True)
        lstm.load_state_dict(
            {k.removeprefix('lstm_visual.'): t for k, t in weights.items() if 'lstm' in k}
        )
        return frames + lstm(frames[None])[0][0]
    x = frames + weights['frame_position_embeddings.weight'][: len(frames)]
    for index in range(2):
        block = {
            k.split(f'resblocks.{index}.')[1]: t
            for k, t in weights.items()
            if k.startswith(f'transformerClip.resblocks.{index}.')
        }
        attention = nn.MultiheadAttention(48, 1, batch_first=True)
        attention.load_state_dict(
            {k.removeprefix('attn.'): t for k, t in block.items() if k.startswith('attn.')}
        )
        y = F.layer_norm(x, (48,), block['ln_1.weight'], block['ln_1.bias'])[None]
        x = x + attention(y, y, y, need_weights=False)[0][0]
        y = F.layer_norm(x, (48,), block['ln_2.weight'], block['ln_2.bias'])
        y = F.linear(y, block['mlp.c_fc.weight'], block['mlp.c_fc.bias'])
        y = y * torch.sigmoid(1.702 * y)
        x = x + F.linear(y, block['mlp.c_proj.weight'], block['mlp.c_proj.bias'])
    return frames + x


@torch.no_grad()
@pytest.mark.parametrize('kind', ['meanP', 'seqTransf', 'seqLSTM'])
def test_similarity(clip4clip, videos, batch, kind, open_clip_model):
    weights = {key: tensor.float() for key, tensor in clip4clip(kind).items()}
    clip = open_clip_model()
    clip.load_state_dict(
        {k.removeprefix('clip.'): t for k, t in weights.items() if k.startswith('clip.')}
    )
    imgs, mask = videos
    frames = [
        temporal(kind, weights, clip.encode_image(video[:length]))
        for video, length in zip(imgs, LENGTHS, strict=True)
    ]
    text = clip.encode_text(batch[1])
    expected = mean_pooled(text, frames, LENGTHS, clip.logit_scale)

    model = build(weights)
    video_feats = model.encode_video(imgs, mask)
    found = model.similarity(model.encode_text(batch[1]), video_feats, mask)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ('key', 'message'),
    [
        ('clip.visual.conv2.weight', 'CLIP4Clip with 3D patches'),
        ('cross.embeddings.position_embeddings.weight', 'tight cross encoder'),
        ('clip.visual.attnpool.positional_embedding', 'a CLIP with a ResNet'),
        ('visual.trunk.cls_token', "on timm's image encoder"),
        ('text.transformer.resblocks.0.ln_1.bias', 'with another text encoder'),
    ],
)
def test_relatives_are_named(clip4clip, key, message):
    weights = clip4clip('meanP') | {key: torch.zeros(1)}
    with pytest.raises(ValueError, match=f'the checkpoint: this is .*{message}'):
        build(weights)
