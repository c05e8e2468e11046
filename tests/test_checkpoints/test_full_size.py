"""A released checkpoint of ViT-B/32 at its real size."""

import pytest
import torch
from mmaction.registry import MODELS

from ts2net_mm.checkpoints import config_of, convert_checkpoint, load_weights, read_checkpoint


def block(width: int, prefix: str, attention: str = 'attn') -> dict[str, tuple[int, ...]]:
    return {
        f'{prefix}.ln_1.weight': (width,),
        f'{prefix}.ln_1.bias': (width,),
        f'{prefix}.{attention}.in_proj_weight': (3 * width, width),
        f'{prefix}.{attention}.in_proj_bias': (3 * width,),
        f'{prefix}.{attention}.out_proj.weight': (width, width),
        f'{prefix}.{attention}.out_proj.bias': (width,),
        f'{prefix}.ln_2.weight': (width,),
        f'{prefix}.ln_2.bias': (width,),
        f'{prefix}.mlp.c_fc.weight': (4 * width, width),
        f'{prefix}.mlp.c_fc.bias': (4 * width,),
        f'{prefix}.mlp.c_proj.weight': (width, 4 * width),
        f'{prefix}.mlp.c_proj.bias': (width,),
    }


def shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of TS2-Net on ViT-B/32 as the release saves them."""
    found: dict[str, tuple[int, ...]] = {
        'clip.positional_embedding': (77, 512),
        'clip.text_projection': (512, 512),
        'clip.logit_scale': (),
        'clip.visual.class_embedding': (768,),
        'clip.visual.positional_embedding': (50, 768),
        'clip.visual.proj': (768, 512),
        'clip.visual.conv1.weight': (768, 3, 32, 32),
        'clip.token_embedding.weight': (49408, 512),
        'frame_position_embeddings.weight': (77, 512),
    }
    for name, width in (('visual.ln_pre', 768), ('visual.ln_post', 768), ('ln_final', 512)):
        found |= {f'clip.{name}.weight': (width,), f'clip.{name}.bias': (width,)}
    for index in range(12):
        attention = 'attn.net' if index >= 10 else 'attn'
        found |= block(768, f'clip.visual.transformer.resblocks.{index}', attention)
        found |= block(512, f'clip.transformer.resblocks.{index}')
    for index in range(4):
        found |= block(512, f'transformerClip.resblocks.{index}')
    selector = 'visual_token_selector.score_predictor'
    return found | {
        f'{selector}.in_conv.0.weight': (512,),
        f'{selector}.in_conv.0.bias': (512,),
        f'{selector}.in_conv.1.weight': (256, 512),
        f'{selector}.out_conv.0.weight': (256, 512),
        f'{selector}.out_conv.2.weight': (1, 256),
    }


def is_half(key: str) -> bool:
    """CLIP's matrices and their biases are fp16, norms, embeddings and new parts fp32."""
    matrix = any(part in key for part in ('.attn.', '.mlp.', 'conv1', 'text_projection', 'al.proj'))
    return key.startswith('clip.') and matrix


@pytest.mark.slow
@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_released_checkpoint(tmp_path, prefix):
    torch.manual_seed(0)
    weights = {}
    for key, shape in shapes().items():
        tensor = 0.02 * torch.randn(shape)
        weights[prefix + key] = tensor.half() if is_half(key) else tensor
    path = tmp_path / 'pytorch_model.bin.4'
    torch.save(weights, path, _use_new_zipfile_serialization=not prefix)

    checkpoint = read_checkpoint(path)
    config = config_of(checkpoint)
    assert config['backbone']['shift_layers'] == (10, 11)
    assert (config['backbone']['num_heads'], config['text_encoder']['num_heads']) == (12, 8)
    model = MODELS.build(config).eval()
    load_weights(model, checkpoint)
    assert sum(p.numel() for p in model.parameters()) == sum(t.numel() for t in weights.values())

    mask = torch.arange(4) < torch.tensor([4, 2])[:, None]
    text = torch.tensor([[49406, 320, 1929, 49407, 0], [49406, 518, 49407, 0, 0]])
    with torch.inference_mode():
        video = model.encode_video(torch.randn(2, 4, 3, 224, 224), mask)
        scores = model.similarity(model.encode_text(text), video, mask)
    assert scores.shape == (2, 2)
    assert scores.isfinite().all()

    back, _ = convert_checkpoint(checkpoint, 'released')
    assert all(torch.equal(back[key.removeprefix(prefix)], t) for key, t in weights.items())
