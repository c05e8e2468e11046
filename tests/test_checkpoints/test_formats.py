"""Weights of each library give the features that the library computes."""

import json
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS

from ts2net_mm.checkpoints import (
    config_from_state_dict,
    config_of,
    convert_state_dict,
    load_weights,
    read_checkpoint,
    read_state_dict,
)


def our_model(source):
    """Our model of a file, its architecture read off the weights."""
    checkpoint = read_checkpoint(source)
    model = MODELS.build(config_of(checkpoint))
    load_weights(model, checkpoint)
    return model.eval()


def assert_same_features(model, batch, images, texts):
    imgs, text = batch
    torch.testing.assert_close(model.encode_video(imgs[:, None])[:, 0], images, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.encode_text(text), texts, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize('wrapped', [True, False])
def test_open_clip(open_clip_model, batch, tmp_path, wrapped):
    theirs = open_clip_model()
    path = tmp_path / 'epoch_1.pt'
    weights = theirs.state_dict()
    if wrapped:  # as its training saves it from several processes
        weights = {f'module.{key}': tensor for key, tensor in weights.items()}
        torch.save(dict(epoch=1, name='run', state_dict=weights), path)
    else:
        torch.save(weights, path)
    imgs, text = batch
    assert_same_features(
        our_model(path), batch, theirs.encode_image(imgs), theirs.encode_text(text)
    )


@torch.no_grad()
@pytest.mark.parametrize('quick_gelu', [True, False])
def test_open_clip_folder_tells_the_activation(open_clip_model, batch, tmp_path, quick_gelu):
    from safetensors.torch import save_file

    theirs = open_clip_model(quick_gelu=quick_gelu)
    save_file(theirs.state_dict(), tmp_path / 'open_clip_model.safetensors')
    config = dict(model_cfg=dict(quick_gelu=True) if quick_gelu else {})
    (tmp_path / 'open_clip_config.json').write_text(json.dumps(config))
    imgs, text = batch
    model = our_model(tmp_path)
    assert_same_features(model, batch, theirs.encode_image(imgs), theirs.encode_text(text))


@torch.no_grad()
def test_open_clip_folder_tells_the_heads(open_clip_model, batch, tmp_path):
    from safetensors.torch import save_file

    theirs = open_clip_model(head_width=16)
    save_file(theirs.state_dict(), tmp_path / 'open_clip_model.safetensors')
    parts = dict(vision_cfg=dict(width=128, head_width=16), text_cfg=dict(width=64, heads=4))
    config = dict(model_cfg=dict(parts, quick_gelu=True))
    (tmp_path / 'open_clip_config.json').write_text(json.dumps(config))
    imgs, text = batch
    model = our_model(tmp_path)
    assert_same_features(model, batch, theirs.encode_image(imgs), theirs.encode_text(text))


@pytest.mark.parametrize(
    ('part', 'settings', 'message'),
    [
        ('vision_cfg', dict(pool_type='avg'), r"vision_cfg\.pool_type is 'avg', known is 'tok' or"),
        ('vision_cfg', dict(norm_kwargs=dict(eps=1e-6)), r"norm_kwargs is \{'eps': 1e-06\}, known"),
        (
            'text_cfg',
            dict(no_causal_mask=True),
            r'text_cfg\.no_causal_mask is True, known is False',
        ),
    ],
)
def test_open_clip_settings_that_are_not_computed(
    open_clip_model, tmp_path, part, settings, message
):
    from safetensors.torch import save_file

    save_file(open_clip_model().state_dict(), tmp_path / 'open_clip_model.safetensors')
    config = dict(model_cfg={part: settings})
    (tmp_path / 'open_clip_config.json').write_text(json.dumps(config))
    with pytest.raises(ValueError, match=rf'open_clip_config\.json: .*{message}'):
        read_checkpoint(tmp_path)


@torch.no_grad()
@pytest.mark.parametrize('activation', ['quick_gelu', 'gelu'])
def test_the_documented_way_in_python(hugging_face_model, batch, tmp_path, activation):
    """README, "Bring your weights": the state dict alone cannot tell the activation."""
    theirs = hugging_face_model(hidden_act=activation)
    theirs.save_pretrained(tmp_path)
    imgs, text = batch
    images = theirs.visual_projection(theirs.vision_model(imgs).pooler_output)
    texts = theirs.text_projection(theirs.text_model(text).pooler_output)
    weights = read_state_dict(tmp_path)
    model = MODELS.build(config_from_state_dict(weights))
    model.load_state_dict(convert_state_dict(weights))
    assert_same_features(model.eval(), batch, images, texts)


@torch.no_grad()
@pytest.mark.parametrize(
    'settings', [dict(max_shard_size='100KB'), dict(variant='fp16')], ids=['shards', 'variant']
)
def test_hugging_face_folders_of_other_kinds(hugging_face_model, batch, tmp_path, settings):
    theirs = hugging_face_model()
    theirs.save_pretrained(tmp_path, **settings)
    assert not (tmp_path / 'model.safetensors').exists()
    imgs, text = batch
    images = theirs.visual_projection(theirs.vision_model(imgs).pooler_output)
    texts = theirs.text_projection(theirs.text_model(text).pooler_output)
    assert_same_features(our_model(tmp_path), batch, images, texts)
    if 'max_shard_size' in settings:
        first = sorted(tmp_path.glob('*-of-*.safetensors'))[0]
        first.unlink()
        with pytest.raises(
            FileNotFoundError, match=rf'index\.json names {first.name}, which is not'
        ):
            read_checkpoint(tmp_path)
    else:
        (tmp_path / 'model.bf16.safetensors').touch()
        with pytest.raises(FileNotFoundError, match=r'several variants, name one .*model\.bf16\.'):
            read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('preprocessor_config.json', lambda told: dict(image_mean=told[0], image_std=told[1])),
        (
            'open_clip_config.json',
            lambda told: dict(preprocess_cfg=dict(mean=told[0], std=told[1])),
        ),
    ],
)
def test_another_normalisation_is_named(log_records, tmp_path, name, content):
    """ImageNet's mean; the weights cannot tell it."""
    weights = 'open_clip_pytorch_model.bin' if 'open_clip' in name else 'pytorch_model.bin'
    torch.save(dict(key=torch.ones(2)), tmp_path / weights)
    clip = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    for told in (clip, ([0.485, 0.456, 0.406], clip[1]), (None, [0.5, 0.5])):
        (tmp_path / name).write_text(json.dumps(content(told)))
        read_checkpoint(tmp_path)
    (record,) = log_records
    assert name in record.getMessage()
    assert 'model.data_preprocessor.mean=[123.675, 116.28, 103.53]' in record.getMessage()


def test_another_layer_norm_is_refused(hugging_face_model, tmp_path):
    hugging_face_model(layer_norm_eps=1e-6).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r'vision_config\.layer_norm_eps is 1e-06, known is 1e-05'):
        read_checkpoint(tmp_path)


@torch.no_grad()
@pytest.mark.parametrize('activation', ['quick_gelu', 'gelu'])
def test_hugging_face_folder(hugging_face_model, batch, tmp_path, activation):
    theirs = hugging_face_model(hidden_act=activation)
    theirs.save_pretrained(tmp_path)
    imgs, text = batch
    images = theirs.visual_projection(theirs.vision_model(imgs).pooler_output)
    texts = theirs.text_projection(theirs.text_model(text).pooler_output)
    assert_same_features(our_model(tmp_path), batch, images, texts)


def test_hugging_face_folder_tells_the_heads(hugging_face_model, tmp_path):
    theirs = hugging_face_model()
    theirs.save_pretrained(tmp_path)
    config = theirs.config.to_dict()
    config['vision_config']['num_attention_heads'] = 4
    (tmp_path / 'config.json').write_text(json.dumps(config))
    assert our_model(tmp_path).backbone.layers[0].attn.num_heads == 4


@torch.no_grad()
@pytest.mark.parametrize('name', ['pytorch_model.bin', 'renamed.weights'])
def test_hugging_face_file_of_older_releases(hugging_face_model, batch, tmp_path, name):
    theirs = hugging_face_model()
    weights = dict(theirs.state_dict())
    weights['text_model.embeddings.position_ids'] = torch.arange(12)[None]
    weights['vision_model.embeddings.position_ids'] = torch.arange(17)[None]
    torch.save(weights, tmp_path / name)
    imgs, text = batch
    images = theirs.visual_projection(theirs.vision_model(imgs).pooler_output)
    texts = theirs.text_projection(theirs.text_model(text).pooler_output)
    assert_same_features(our_model(tmp_path / name), batch, images, texts)


@torch.no_grad()
def test_openai_plain_and_torchscript(openai, batch, tmp_path, save_torchscript, open_clip_model):
    theirs = open_clip_model()
    sizes = ('input_resolution', 'context_length', 'vocab_size')
    theirs.load_state_dict({key: t.float() for key, t in openai.items() if key not in sizes})
    torch.save(openai, tmp_path / 'plain')
    mask = {'transformer.resblocks.0.attn_mask': torch.zeros(12, 12)}
    save_torchscript(openai | mask, tmp_path / 'archive')
    imgs, text = batch
    for name in ('plain', 'archive'):
        model = our_model(tmp_path / name)
        assert_same_features(model, batch, theirs.encode_image(imgs), theirs.encode_text(text))


@torch.no_grad()
def test_mmpretrain_clip(openai, batch, tmp_path, open_clip_model):
    """The layout that MMPretrain's converter makes of OpenAI's file."""
    torch.save(openai, tmp_path / 'openai')
    ours = our_model(tmp_path / 'openai')
    weights = {}
    for key, tensor in convert_state_dict(openai).items():
        part, _, name = key.partition('.')
        if part == 'backbone':
            weights['visual.' + name] = tensor
    weights['visual_proj.proj'] = weights.pop('visual.proj.weight').T.contiguous()
    weights |= {key: t for key, t in openai.items() if not key.startswith('visual.')}
    torch.save(dict(state_dict=weights), tmp_path / 'mmpretrain')
    imgs, text = batch
    expected = ours.encode_video(imgs[:, None])[:, 0], ours.encode_text(text)
    assert_same_features(our_model(tmp_path / 'mmpretrain'), batch, *expected)


def test_mmpretrain_really_has_these_names(openai):
    """Its ViT, built as its CLIP configs build it, takes what we read as its weights."""
    from mmpretrain.models import VisionTransformer

    arch = dict(embed_dims=128, num_layers=2, num_heads=2, feedforward_channels=512)
    theirs = VisionTransformer(arch=arch, img_size=32, patch_size=8, pre_norm=True)
    ours = {
        key.removeprefix('backbone.')
        for key in convert_state_dict(openai)
        if key.startswith('backbone.')
    }
    assert ours - {'proj.weight'} == set(theirs.state_dict())


def test_mmpretrain_classifier_holds_the_image_encoder_alone(openai):
    converted = convert_state_dict(openai)
    weights = {
        key: t
        for key, t in converted.items()
        if key.startswith('backbone.') and key != 'backbone.proj.weight'
    }
    classifier = weights | {'head.layers.head.weight': torch.zeros(10, 128)}
    assert set(convert_state_dict(classifier)) == set(weights)
    with pytest.raises(ValueError, match='an image encoder without text'):
        config_from_state_dict(classifier)
    del classifier['backbone.ln1.bias']
    with pytest.raises(ValueError, match=r'1 missing: backbone\.ln1\.bias'):
        convert_state_dict(classifier)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize('name', ['ViT-B-32-quickgelu', 'ViT-B-16-quickgelu'])
def test_open_clip_at_full_size(name, tmp_path):
    import open_clip

    theirs = open_clip.create_model(name, pretrained=None).eval()
    torch.save(theirs.state_dict(), tmp_path / 'clip.pt')
    text = open_clip.get_tokenizer(name)(['a dog catches a ball', 'two people dance'])
    torch.manual_seed(0)
    imgs = torch.randn(2, 3, 224, 224)
    images, texts = theirs.encode_image(imgs), theirs.encode_text(text)
    del theirs
    assert_same_features(our_model(tmp_path / 'clip.pt'), (imgs, text), images, texts)


@pytest.mark.slow
@torch.no_grad()
def test_hugging_face_at_full_size(tmp_path):
    transformers = pytest.importorskip('transformers')
    import open_clip

    theirs = transformers.CLIPModel(transformers.CLIPConfig()).eval()  # its default is ViT-B/32
    theirs.save_pretrained(tmp_path)
    text = open_clip.get_tokenizer('ViT-B-32')(['a dog catches a ball', 'two people dance'])
    torch.manual_seed(0)
    imgs = torch.randn(2, 3, 224, 224)
    images = theirs.visual_projection(theirs.vision_model(imgs).pooler_output)
    texts = theirs.text_projection(theirs.text_model(text).pooler_output)
    del theirs
    assert_same_features(our_model(Path(tmp_path)), (imgs, text), images, texts)


@pytest.mark.parametrize(('width', 'heads'), [(768, 12), (1024, 16), (1280, 16)])
def test_heads_of_the_large_models(openai, width, heads):
    """CLIP's B, L and H; the heads of H have 80 channels."""
    meta = {k: t.to('meta') for k, t in openai.items()}
    patches = torch.empty(width, 3, 8, 8, device='meta')
    config = config_from_state_dict(meta | {'visual.conv1.weight': patches})
    assert config['backbone']['num_heads'] == heads
