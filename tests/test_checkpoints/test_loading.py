"""Weights are loaded into configured models: complete, resized, extended, or refused."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.runner import CheckpointLoader
from safetensors.torch import save_file

from ts2net_mm.checkpoints import (
    Checkpoint,
    config_from_state_dict,
    convert_state_dict,
    fit_weights,
    load_any,
    load_weights,
)

TEMPORAL = dict(type='TemporalTransformer', embed_dims=48, num_layers=2, num_positions=24)


@pytest.fixture
def config(openai) -> dict:
    """A TS2-Net on the small CLIP, with shift, selection and a temporal transformer."""
    config = config_from_state_dict(openai)
    config['backbone'].update(shift_layers=(0, 1), num_shift_tokens=4)
    config['neck'] = dict(type='TokenSelection', embed_dims=48)
    config['head'] = dict(type='RetrievalHead', temporal=dict(TEMPORAL, num_heads=1))
    return config


@pytest.fixture
def square(open_clip_model):
    """Weights of a CLIP whose text encoder is as wide as its embedding, as OpenAI's are."""
    weights = dict(open_clip_model().state_dict())
    weights['text_projection'] = torch.randn(64, 64)
    weights['visual.proj'] = torch.randn(128, 64)
    weights['positional_embedding'] = torch.linspace(0, 1, 12)[:, None].repeat(1, 64)
    return weights


@pytest.fixture
def square_config(config):
    config['backbone']['out_dims'] = config['text_encoder']['out_dims'] = 64
    config['neck']['embed_dims'] = config['head']['temporal']['embed_dims'] = 64
    return config


@pytest.fixture
def messages(log_records):
    """Function that joins what was logged."""
    return lambda: '\n'.join(record.getMessage() for record in log_records)


def initialised(config, weights, path):
    """The model after init_weights, from a file with the given weights."""
    torch.save(weights, path)
    model = MODELS.build(dict(config, init_cfg=dict(type='CLIPPretrained', checkpoint=str(path))))
    torch.manual_seed(3)
    model.init_weights()
    return model


def test_temporal_part_starts_from_the_text_encoder(square, square_config, tmp_path, messages):
    square_config['head']['temporal']['num_positions'] = 12
    model = initialised(square_config, square, tmp_path / 'clip.pt')
    torch.testing.assert_close(model.backbone.proj.weight, square['visual.proj'].T)
    torch.testing.assert_close(model.head.logit_scale, square['logit_scale'])
    for block in (0, 1):
        torch.testing.assert_close(
            model.head.temporal.layers[block].attn.qkv.weight,
            square[f'transformer.resblocks.{block}.attn.in_proj_weight'],
        )
    torch.testing.assert_close(model.head.temporal.pos_embed, square['positional_embedding'])
    assert "starts from the text encoder's first blocks" in messages()
    assert '5 tensors are new, the weights have no such part: neck' in messages()
    # a copy: training the temporal part leaves the text encoder as it is
    model.head.temporal.layers[0].attn.qkv.weight.data.zero_()
    assert model.text_encoder.layers[0].attn.qkv.weight.abs().sum() > 0


def test_temporal_part_stays_new_when_asked(square, square_config, tmp_path, messages):
    square_config['head']['temporal']['start_from_clip'] = False
    model = initialised(square_config, square, tmp_path / 'clip.pt')
    found, theirs = model.head.temporal.layers[0], model.text_encoder.layers[0]
    assert not torch.equal(found.attn.qkv.weight, theirs.attn.qkv.weight)
    assert 'no such part: head.temporal, neck' in messages()


def test_patches_of_three_frames_start_with_the_middle_one(openai, config, tmp_path, messages):
    config['backbone']['patch_frames'] = 3
    weight = initialised(
        config, openai, tmp_path / 'clip.pt'
    ).backbone.patch_embed.projection.weight
    before, middle, after = weight.split(3, dim=1)
    assert torch.equal(middle, openai['visual.conv1.weight'])
    assert not before.any()
    assert not after.any()
    assert 'the patch embedding starts with the middle frame alone' in messages()
    rebuilt = config_from_state_dict(
        {**convert_state_dict(openai), 'backbone.patch_embed.projection.weight': weight}
    )
    assert rebuilt['backbone']['patch_frames'] == 3


def test_temporal_part_of_another_width_stays_new(openai, config, tmp_path, messages):
    initialised(config, openai, tmp_path / 'clip.pt')
    assert 'no such part: head.temporal, neck' in messages()


@pytest.mark.parametrize(
    ('num_positions', 'expected', 'note'),
    [
        (23, torch.linspace(0, 1, 23), 'temporal positions stretched from 12 to 23'),
        (8, torch.linspace(0, 1, 12)[:8], 'the first 8 of 12 kept'),
    ],
)
def test_other_temporal_positions(
    square, square_config, tmp_path, messages, num_positions, expected, note
):
    square_config['head']['temporal']['num_positions'] = num_positions
    model = initialised(square_config, square, tmp_path / 'clip.pt')
    torch.testing.assert_close(model.head.temporal.pos_embed[:, 5], expected)
    assert note in messages()


def test_another_resolution_resizes_the_visual_positions(openai, tmp_path, messages):
    config = config_from_state_dict(openai)
    table = openai['visual.positional_embedding']
    table[1:] = torch.arange(4.0).repeat_interleave(4)[:, None]  # the row of each patch
    config['backbone']['img_size'] = 64
    model = initialised(config, openai, tmp_path / 'clip.pt')
    found = model.backbone.pos_embed[0]
    torch.testing.assert_close(found[0], table[0])
    rows = found[1:].view(8, 8, 128)
    torch.testing.assert_close(rows, rows[:, :1, :1].expand(8, 8, 128), rtol=0, atol=1e-5)
    assert (rows[:, 0, 0].diff() > 0).all()
    assert 'visual positions resized from 4 x 4 to 8 x 8 patches' in messages()


@pytest.mark.parametrize(
    ('part', 'key', 'name'),
    [
        ('backbone', 'visual.ln_post.bias', 'ln1.bias'),
        ('text_encoder', 'ln_final.bias', 'ln_final.bias'),
    ],
)
def test_an_encoder_alone(openai, tmp_path, part, key, name):
    config = config_from_state_dict(openai)[part]
    encoder = initialised(config, openai, tmp_path / 'clip.pt')
    torch.testing.assert_close(encoder.state_dict()[name], openai[key])


def test_released_weights_fill_everything(released, tmp_path, messages):
    config = config_from_state_dict(released)
    model = initialised(config, released, tmp_path / 'pytorch_model.bin.4')
    key = 'visual_token_selector.score_predictor.in_conv.1.weight'
    torch.testing.assert_close(model.neck.token_mlp[1].weight, released[key].float())
    assert 'new' not in messages()


def test_a_classifier_fills_the_image_encoder(openai, config, tmp_path, messages):
    weights = {
        key: tensor
        for key, tensor in convert_state_dict(openai).items()
        if key.startswith('backbone.') and key != 'backbone.proj.weight'
    }
    model = initialised(config, dict(state_dict=weights), tmp_path / 'vit.pth')
    bias = model.backbone.ln1.bias.detach()
    torch.testing.assert_close(bias, openai['visual.ln_post.bias'].float())
    expected = 'new, the weights have no such part: backbone.proj, head.logit_scale, '
    assert expected + 'head.temporal, neck, text_encoder' in messages()


def test_other_initialisers_run_before(openai, tmp_path):
    torch.save(openai, tmp_path / 'clip.pt')
    constant = dict(type='Constant', layer='Linear', val=7.0)
    pretrained = dict(type='CLIPPretrained', checkpoint=str(tmp_path / 'clip.pt'))
    model = MODELS.build(dict(config_from_state_dict(openai), init_cfg=[pretrained, constant]))
    model.init_weights()
    torch.testing.assert_close(model.backbone.proj.weight, openai['visual.proj'].T.float())
    assert model.init_cfg == [pretrained, constant]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            {'text_projection': torch.zeros(64, 99), 'visual.proj': torch.zeros(128, 99)},
            r'2 misshapen: backbone.proj.weight \(visual.proj\) \(99, 128\) instead of \(48, 128',
        ),
        (
            {'transformer.resblocks.7.ln_1.bias': torch.zeros(64)},
            r'text_encoder.layers has 4 blocks in the file and 3 in the model$',
        ),
    ],
)
def test_weights_that_do_not_fit(openai, changes, message):
    model = MODELS.build(config_from_state_dict(openai))
    weights = {key: t for key, t in (openai | changes).items() if t is not None}
    with pytest.raises(ValueError, match='clip.pt does not fit the model: .*' + message):
        fit_weights(model, Checkpoint(weights, name='clip.pt'))


def test_weights_of_no_known_format(openai):
    model = MODELS.build(config_from_state_dict(openai))
    with pytest.raises(ValueError, match='1 unexpected: fc.weight; .* missing: '):
        fit_weights(model, Checkpoint({'fc.weight': torch.zeros(1)}))


@pytest.mark.parametrize('part', ['', 'text_encoder.'])
@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(act_cfg=dict(type='GELU')), "text_encoder act_cfg='GELU', but .* 'QuickGELU'"),
        (dict(num_heads=8), 'text_encoder num_heads=8, but the model has 1'),
    ],
)
def test_settings_that_the_file_states(openai, part, settings, message):
    model = MODELS.build(config_from_state_dict(openai))
    checkpoint = Checkpoint(openai, dict(text_encoder=settings))
    with pytest.raises(ValueError, match=message):
        load_weights(model.text_encoder if part else model, checkpoint, part=part)


def test_mmengine_loads_the_same(openai, tmp_path):
    save_file(openai, tmp_path / 'clip.safetensors')
    found = CheckpointLoader.load_checkpoint(str(tmp_path / 'clip.safetensors'))
    assert set(found['state_dict']) == set(openai)
    with pytest.raises(FileNotFoundError, match='does not exist'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'no.pth'))
    torch.save(dict(state_dict=openai, optimizer=dict(state={})), tmp_path / 'run.pth')
    assert 'optimizer' in load_any(str(tmp_path / 'run.pth'), map_location='cpu')
