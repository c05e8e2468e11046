"""MMPretrain's own CLIP, which its package does not register with a recent transformers."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.registry import DefaultScope

from ts2net_mm.checkpoints import config_from_state_dict, convert_state_dict


@pytest.fixture
def mmpretrain_clip(monkeypatch):
    """Its CLIPZeroShot at the size of the other tests, without its tokenizer."""
    from mmpretrain.registry import MODELS as THEIRS
    from mmpretrain.registry import TOKENIZER

    placeholders = dict(THEIRS.module_dict)
    placeholders.pop('CLIPZeroShot', None)
    monkeypatch.setattr(THEIRS, '_module_dict', placeholders)
    monkeypatch.setattr(TOKENIZER, '_module_dict', dict(TOKENIZER.module_dict))

    @TOKENIZER.register_module()
    class NoTokenizer:
        def get_vocab(self) -> dict:
            return {}

    from mmpretrain.models.multimodal.clip.clip import CLIPZeroShot
    from mmpretrain.models.multimodal.clip.clip_transformer import CLIPProjection, CLIPTransformer

    for part in (CLIPProjection, CLIPTransformer):
        placeholders[part.__name__] = part
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = CLIPZeroShot(
            vision_backbone=dict(
                type='VisionTransformer',
                arch=dict(embed_dims=128, num_layers=2, num_heads=2, feedforward_channels=512),
                img_size=32,
                patch_size=8,
                pre_norm=True,
                norm_cfg=dict(type='LN', eps=1e-5),
                layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU')),
            ),
            projection=dict(type='CLIPProjection', in_channels=128, out_channels=48),
            text_backbone=dict(type='CLIPTransformer', width=64, layers=3, heads=1),
            tokenizer=dict(type='NoTokenizer'),
            vocab_size=60,
            transformer_width=64,
            proj_dim=48,
            context_length=12,
        )
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@torch.no_grad()
def test_same_features(mmpretrain_clip, batch):
    # MMPretrain's converter copies the sizes of OpenAI's file
    weights = mmpretrain_clip.state_dict() | {'input_resolution': torch.tensor(32)}
    model = MODELS.build(config_from_state_dict(weights)).eval()
    model.load_state_dict(convert_state_dict(weights))
    imgs, text = batch
    for found, expected in (
        (model.encode_video(imgs[:, None])[:, 0], mmpretrain_clip.extract_image_feat(imgs)),
        (model.encode_text(text), mmpretrain_clip.extract_text_feat(text)),
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
