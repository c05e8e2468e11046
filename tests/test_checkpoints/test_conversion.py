"""Released weights become this package's: architecture, names, values, and what is refused."""

from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS

from ts2net_mm.checkpoints import (
    config_from_state_dict,
    config_of,
    convert_checkpoint,
    convert_state_dict,
    load_weights,
    read_checkpoint,
)

ROOT = Path(__file__).parents[2]
NOTE = (
    '10 tensors skipped, which the released model saves but never reads: text_token_selector.*, '
    'visual_prompt_encoder.*'
)


def test_architecture_is_derived_from_the_shapes(released):
    config = config_from_state_dict(released)
    backbone, text = config['backbone'], config['text_encoder']
    temporal = config['head']['temporal']
    assert (backbone['embed_dims'], backbone['num_layers'], backbone['num_heads']) == (64, 12, 1)
    assert (backbone['img_size'], backbone['patch_size']) == (56, 8)
    assert backbone['shift_layers'] == (10, 11)
    assert (text['vocab_size'], text['context_length'], text['num_layers']) == (600, 77, 6)
    assert (temporal['num_layers'], temporal['num_positions']) == (4, 77)


@pytest.mark.parametrize(('width', 'heads'), [(768, 12), (1024, 16), (1280, 16)])
def test_heads_of_the_large_models(openai, width, heads):
    """CLIP's B, L and H; the heads of H have 80 channels."""
    meta = {k: t.to('meta') for k, t in openai.items()}
    patches = torch.empty(width, 3, 8, 8, device='meta')
    config = config_from_state_dict(meta | {'visual.conv1.weight': patches})
    assert config['backbone']['num_heads'] == heads


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_values_and_dtypes_do_not_change(released, prefix):
    saved = released | {'clip.input_resolution': torch.tensor(56)}  # a size is no weight
    wrapped = {prefix + key: tensor for key, tensor in saved.items()}
    converted = convert_state_dict(wrapped)
    assert len(converted) == len(released)
    assert {tensor.dtype for tensor in converted.values()} == {torch.float16}
    found = sum(tensor.double().sum() for tensor in converted.values())
    expected = sum(tensor.double().sum() for tensor in released.values())
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    MODELS.build(config_from_state_dict(wrapped)).load_state_dict(converted)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            {'clip.visual.extra.weight': torch.zeros(3), 'clip.visual.ln_post.bias': None},
            r'1 unexpected: clip.visual.extra.weight; '
            r'1 missing: backbone.ln1.bias \(clip.visual.ln_post.bias\)',
        ),
        (
            {'clip.ln_final.weight': torch.zeros(32)},
            r'ln_final.weight \(clip.ln_final.weight\) \(32,\) instead of \(64,\)',
        ),
        ({'clip.text_projection': torch.full((64, 64), torch.nan)}, '1 of .* hold NaN or inf'),
        ({'clip.visual.positional_embedding': torch.zeros(49, 64)}, 'is for 48 patches, expected'),
        ({'clip.visual.conv1.weight': None}, "lacks 'clip.visual.conv1.weight'"),
        ({'clip.text_projection': None}, "lacks 'clip.text_projection'"),
        ({'frame_position_embeddings.weight': None}, "lacks 'frame_position_embeddings.weight'"),
        (
            {f'transformerClip.resblocks.1.{key}.weight': None for key in ('ln_1', 'ln_2')},
            '2 missing: head.temporal.layers.1.ln1.weight',
        ),
    ],
)
def test_weights_that_are_incomplete_or_wrong(released, change, message):
    weights = {key: tensor for key, tensor in (released | change).items() if tensor is not None}
    with pytest.raises(ValueError, match=message):
        convert_state_dict(weights)


def test_another_model():
    with pytest.raises(ValueError, match="none of its 1 keys is known.*'fc.weight'"):
        config_from_state_dict({'fc.weight': torch.zeros(2, 2)})
    with pytest.raises(ValueError, match='none of its 0 keys'):
        convert_state_dict({})


@pytest.mark.parametrize('kind', ['fp32', 'fp16 and fp32', 'module.'])
def test_files_of_the_release(released, unused, tmp_path, log_records, kind):
    """They contain ten tensors that the model never reads; each act says that it skips them."""
    weights = released | unused
    assert len(weights) == len(released) + 10 == 294
    fp16 = ('.attn.', '.mlp.', 'conv1') if kind == 'fp16 and fp32' else ()
    weights = {k: t if any(p in k for p in fp16) else t.float() for k, t in weights.items()}
    prefix = 'module.' if kind == 'module.' else ''
    path = tmp_path / 'pytorch_model.bin.4'
    torch.save({prefix + key: tensor for key, tensor in weights.items()}, path)

    checkpoint = read_checkpoint(path)
    model = MODELS.build(config_of(checkpoint))
    load_weights(model, checkpoint)
    expected = convert_state_dict(released)
    for key, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, expected[key].float(), rtol=0, atol=0)
    for target in ('ts2net_mm', 'released'):
        written, _ = convert_checkpoint(checkpoint, target)
        assert len(written) == len(released)
    assert sum(NOTE in record.getMessage() for record in log_records) == 3


@pytest.mark.parametrize(
    'name', ['text_token_selector.score_predictor.out_conv.3.weight', 'visual_prompt.x']
)
def test_tensors_like_the_unused_ones_are_refused(released, unused, name):
    with pytest.raises(ValueError, match=f'1 unexpected: {name}'):
        convert_state_dict(released | unused | {name: torch.zeros(3)})
