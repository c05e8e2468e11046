"""Weights are loaded into configured models: whole, resized, extended, or refused."""

import pytest
import torch
from mmaction.registry import MODELS
from safetensors.torch import save_file

from ts2net_mm.checkpoints import Checkpoint, config_from_state_dict, fit_weights, load_weights


@pytest.fixture
def config(openai) -> dict:
    """A TS2-Net on the small CLIP, with shift, selection and temporal transformer."""
    config = config_from_state_dict(openai)
    config['backbone'].update(shift_layers=(0, 1), num_shift_tokens=4)
    config['neck'] = dict(type='TokenSelection', embed_dims=48)
    config['head'] = dict(
        type='RetrievalHead',
        temporal=dict(type='TemporalTransformer', embed_dims=48, num_layers=2, num_positions=24),
    )
    return config


@pytest.fixture
def square(open_clip_model):
    """Weights of a CLIP whose text encoder is as wide as its embedding, as OpenAI's are."""
    weights = dict(open_clip_model().state_dict())
    weights['text_projection'] = torch.randn(64, 64)
    weights['visual.proj'] = torch.randn(128, 64)
    return weights


@pytest.fixture
def square_config(config):
    config['backbone']['out_dims'] = config['text_encoder']['out_dims'] = 64
    config['neck']['embed_dims'] = 64
    config['head']['temporal'].update(embed_dims=64, num_heads=1)
    return config


def initialised(config, checkpoint, **settings):
    """The model after init_weights, with the settings of its initialiser."""
    init_cfg = dict(type='CLIPPretrained', checkpoint=str(checkpoint))
    model = MODELS.build(dict(config, init_cfg=init_cfg, **settings))
    torch.manual_seed(3)
    model.init_weights()
    return model


def messages(log_records) -> str:
    return '\n'.join(record.getMessage() for record in log_records)


def test_temporal_part_starts_from_the_text_encoder(square, square_config, tmp_path, log_records):
    torch.save(square, tmp_path / 'clip.pt')
    square_config['head']['temporal']['num_positions'] = 12
    model = initialised(square_config, tmp_path / 'clip.pt')
    torch.testing.assert_close(model.backbone.proj.weight, square['visual.proj'].T)
    torch.testing.assert_close(model.head.logit_scale, square['logit_scale'])
    for block in (0, 1):
        torch.testing.assert_close(
            model.head.temporal.layers[block].attn.qkv.weight,
            square[f'transformer.resblocks.{block}.attn.in_proj_weight'],
        )
    torch.testing.assert_close(model.head.temporal.pos_embed, square['positional_embedding'])
    told = messages(log_records)
    assert "starts from the text encoder's first blocks" in told
    assert '5 tensors are new, the weights have no such part: neck' in told


def test_training_the_temporal_part_leaves_the_text_encoder(square, square_config, tmp_path):
    torch.save(square, tmp_path / 'clip.pt')
    model = initialised(square_config, tmp_path / 'clip.pt')
    before = model.text_encoder.layers[0].attn.qkv.weight.clone()
    model.head.temporal.layers[0].attn.qkv.weight.data.zero_()
    torch.testing.assert_close(model.text_encoder.layers[0].attn.qkv.weight, before)


def test_temporal_part_of_another_width_stays_new(openai, config, tmp_path, log_records):
    config['head']['temporal']['num_heads'] = 1
    torch.save(openai, tmp_path / 'clip.pt')
    initialised(config, tmp_path / 'clip.pt')
    assert 'no such part: head.temporal, neck' in messages(log_records)


def test_more_temporal_positions_are_stretched(square, square_config, tmp_path, log_records):
    square['positional_embedding'] = torch.linspace(0, 1, 12)[:, None].expand(12, 64)
    save_file({k: t.contiguous() for k, t in square.items()}, tmp_path / 'clip.safetensors')
    square_config['head']['temporal']['num_positions'] = 23
    model = initialised(square_config, tmp_path / 'clip.safetensors')
    torch.testing.assert_close(model.head.temporal.pos_embed[:, 5], torch.linspace(0, 1, 23))
    assert 'temporal positions stretched from 12 to 23' in messages(log_records)


def test_fewer_temporal_positions_are_the_first(square, square_config, tmp_path, log_records):
    torch.save(square, tmp_path / 'clip.pt')
    square_config['head']['temporal']['num_positions'] = 8
    model = initialised(square_config, tmp_path / 'clip.pt')
    torch.testing.assert_close(model.head.temporal.pos_embed, square['positional_embedding'][:8])
    assert 'the first 8 of 12 kept' in messages(log_records)


def test_another_resolution_resizes_the_visual_positions(openai, tmp_path, log_records):
    config = config_from_state_dict(openai)
    table = openai['visual.positional_embedding']
    table[1:] = torch.arange(4.0).repeat_interleave(4)[:, None]  # the row of each patch
    torch.save(openai, tmp_path / 'clip.pt')
    config['backbone']['img_size'] = 64
    model = initialised(config, tmp_path / 'clip.pt')
    found = model.backbone.pos_embed[0]
    torch.testing.assert_close(found[0], table[0])
    rows = found[1:].view(8, 8, 128)
    torch.testing.assert_close(rows, rows[:, :1, :1].expand(8, 8, 128), rtol=0, atol=1e-5)
    assert (rows[:, 0, 0].diff() > 0).all()
    assert 'visual positions resized from 4 x 4 to 8 x 8 patches' in messages(log_records)


def test_an_encoder_alone(openai, tmp_path):
    torch.save(openai, tmp_path / 'clip.pt')
    config = config_from_state_dict(openai)
    for part, key, name in (
        ('backbone', 'visual.ln_post.bias', 'ln1.bias'),
        ('text_encoder', 'ln_final.bias', 'ln_final.bias'),
    ):
        encoder = initialised(config[part], tmp_path / 'clip.pt')
        torch.testing.assert_close(encoder.state_dict()[name], openai[key])


def test_released_weights_fill_everything(released, tmp_path, log_records):
    torch.save(released, tmp_path / 'pytorch_model.bin.4')
    config = config_from_state_dict(released)
    model = initialised(config, tmp_path / 'pytorch_model.bin.4')
    key = 'visual_token_selector.score_predictor.in_conv.1.weight'
    torch.testing.assert_close(model.neck.token_mlp[1].weight, released[key].float())
    assert 'new' not in messages(log_records)


def test_a_classifier_fills_the_image_encoder(openai, config, tmp_path, log_records):
    from ts2net_mm.checkpoints import convert_state_dict

    config['head']['temporal']['num_heads'] = 1
    weights = {
        k: t
        for k, t in convert_state_dict(openai).items()
        if k.startswith('backbone.') and k.removeprefix('backbone.') != 'proj.weight'
    }
    torch.save(dict(state_dict=weights), tmp_path / 'vit.pth')
    model = initialised(config, tmp_path / 'vit.pth')
    torch.testing.assert_close(
        model.backbone.ln1.bias.detach(), openai['visual.ln_post.bias'].float()
    )
    expected = 'new, the weights have no such part: backbone.proj, head.logit_scale, '
    assert expected + 'head.temporal, neck, text_encoder' in messages(log_records)


def test_other_initialisers_run_before(openai, tmp_path):
    torch.save(openai, tmp_path / 'clip.pt')
    config = config_from_state_dict(openai)
    constant = dict(type='Constant', layer='Linear', val=7.0)
    pretrained = dict(type='CLIPPretrained', checkpoint=str(tmp_path / 'clip.pt'))
    model = MODELS.build(dict(config, init_cfg=[pretrained, constant]))
    model.init_weights()
    torch.testing.assert_close(model.backbone.proj.weight, openai['visual.proj'].T.float())
    assert model.init_cfg == [pretrained, constant]


BAD = [
    ({'visual.extra': torch.zeros(1)}, '1 unexpected: visual.extra$'),
    ({'visual.ln_post.bias': None}, r'1 missing: backbone.ln1.bias \(visual.ln_post.bias\)$'),
    ({'ln_final.bias': torch.zeros(3)}, r'\(ln_final.bias\) \(3,\) instead of \(64,\)$'),
    (
        {'text_projection': torch.zeros(64, 99), 'visual.proj': torch.zeros(128, 99)},
        r'2 misshapen: backbone.proj.weight \(visual.proj\) \(99, 128\) instead of \(48, 128\)',
    ),
]


@pytest.mark.parametrize(('changes', 'message'), BAD)
def test_weights_that_do_not_fit(openai, changes, message):
    model = MODELS.build(config_from_state_dict(openai))
    weights = {key: t for key, t in (openai | changes).items() if t is not None}
    with pytest.raises(ValueError, match='clip.pt does not fit the model: .*' + message):
        fit_weights(model, Checkpoint(weights, name='clip.pt'))


def test_weights_of_no_known_format(openai):
    model = MODELS.build(config_from_state_dict(openai))
    with pytest.raises(ValueError, match='1 unexpected: fc.weight; .* missing: '):
        fit_weights(model, Checkpoint({'fc.weight': torch.zeros(1)}))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(act_cfg=dict(type='GELU')), "text_encoder act_cfg='GELU', but .* 'QuickGELU'"),
        (dict(num_heads=8), 'text_encoder num_heads=8, but the model has 1'),
    ],
)
def test_settings_that_the_file_tells(openai, settings, message):
    model = MODELS.build(config_from_state_dict(openai))
    checkpoint = Checkpoint(openai, dict(text_encoder=settings))
    with pytest.raises(ValueError, match=message):
        load_weights(model, checkpoint)
    model = MODELS.build(config_from_state_dict(openai)).text_encoder
    with pytest.raises(ValueError, match=message):
        load_weights(model, checkpoint, part='text_encoder.')
