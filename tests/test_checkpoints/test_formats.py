"""Weights of each library give the features that the library computes."""

import json

import open_clip
import pytest
import torch
from mmaction.registry import MODELS
from safetensors.torch import save_file

from ts2net_mm.checkpoints import (
    config_from_state_dict,
    config_of,
    convert_checkpoint,
    convert_state_dict,
    load_weights,
    read_checkpoint,
    read_state_dict,
)

CLIP_NORM = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


@torch.no_grad()
def assert_same_features(source, theirs, batch):
    """Compare a model, or the model of a file, with open_clip's or transformers' CLIP."""
    model = source
    if not isinstance(source, torch.nn.Module):
        checkpoint = read_checkpoint(source)
        model = MODELS.build(config_of(checkpoint))
        load_weights(model, checkpoint)
    imgs, text = batch
    if hasattr(theirs, 'encode_image'):
        expected = theirs.encode_image(imgs), theirs.encode_text(text)
    else:
        images = theirs.vision_model(imgs).pooler_output
        texts = theirs.text_model(text).pooler_output
        expected = theirs.visual_projection(images), theirs.text_projection(texts)
    found = model.eval().encode_video(imgs[:, None])[:, 0], model.encode_text(text)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def save_open_clip(model, folder, **model_cfg):
    """A folder as open_clip publishes it."""
    save_file(model.state_dict(), folder / 'open_clip_model.safetensors')
    (folder / 'open_clip_config.json').write_text(json.dumps(dict(model_cfg=model_cfg)))


@pytest.mark.parametrize('wrapped', [True, False])
def test_open_clip(open_clip_model, batch, tmp_path, wrapped):
    theirs = open_clip_model()
    weights = theirs.state_dict()
    if wrapped:  # as its training saves it from several processes
        weights = {f'module.{key}': tensor for key, tensor in weights.items()}
        weights = dict(epoch=1, name='run', state_dict=weights)
    torch.save(weights, tmp_path / 'epoch_1.pt')
    assert_same_features(tmp_path / 'epoch_1.pt', theirs, batch)


@pytest.mark.parametrize('quick_gelu', [True, False])
@pytest.mark.parametrize('head_width', [64, 16])
def test_open_clip_folder(open_clip_model, batch, tmp_path, quick_gelu, head_width):
    """Its config states the activation and the heads."""
    theirs = open_clip_model(quick_gelu=quick_gelu, head_width=head_width)
    parts = dict(
        vision_cfg=dict(width=128, head_width=head_width),
        text_cfg=dict(width=64, heads=64 // head_width),
    )
    settings = dict(quick_gelu=True) if quick_gelu else {}
    save_open_clip(theirs, tmp_path, **settings, **(parts if head_width != 64 else {}))
    assert_same_features(tmp_path, theirs, batch)


@pytest.mark.parametrize(
    ('part', 'settings', 'message'),
    [
        ('vision_cfg', dict(pool_type='avg'), r"vision_cfg\.pool_type is 'avg', known is 'tok' or"),
        ('vision_cfg', dict(norm_kwargs=dict(eps=1e-6)), r"norm_kwargs is \{'eps': 1e-06\}, known"),
        ('text_cfg', dict(no_causal_mask=True), r'text_cfg\.no_causal_mask is True, known is Fal'),
        (
            'vision_cfg',
            dict(width=64, head_width=0),
            r'vision_cfg\.head_width is 0, expected a whole',
        ),
    ],
)
def test_open_clip_settings_that_are_not_computed(
    open_clip_model, tmp_path, part, settings, message
):
    save_open_clip(open_clip_model(), tmp_path, **{part: settings})
    with pytest.raises(ValueError, match=rf'open_clip_config\.json: .*{message}'):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize('activation', ['quick_gelu', 'gelu'])
@pytest.mark.parametrize(
    'settings', [{}, dict(max_shard_size='100KB'), dict(variant='fp16')], ids=str
)
def test_hugging_face_folder(hugging_face_model, batch, tmp_path, activation, settings):
    theirs = hugging_face_model(hidden_act=activation)
    theirs.save_pretrained(tmp_path, **settings)
    assert (tmp_path / 'model.safetensors').exists() == (not settings)
    assert_same_features(tmp_path, theirs, batch)
    weights = read_state_dict(tmp_path)  # the way in Python that the README documents
    model = MODELS.build(config_from_state_dict(weights))
    model.load_state_dict(convert_state_dict(weights))
    assert_same_features(model, theirs, batch)


def test_hugging_face_folders_that_are_incomplete_or_ambiguous(hugging_face_model, tmp_path):
    theirs = hugging_face_model()
    theirs.save_pretrained(tmp_path / 'shards', max_shard_size='100KB')
    first = sorted((tmp_path / 'shards').glob('*-of-*.safetensors'))[0]
    first.unlink()
    with pytest.raises(FileNotFoundError, match=rf'index\.json names {first.name}, which is not'):
        read_checkpoint(tmp_path / 'shards')
    theirs.save_pretrained(tmp_path / 'variants', variant='fp16')
    (tmp_path / 'variants' / 'model.bf16.safetensors').touch()
    with pytest.raises(FileNotFoundError, match=r'several variants, name one .*model\.bf16\.'):
        read_checkpoint(tmp_path / 'variants')


@pytest.mark.parametrize(
    ('part', 'settings', 'message'),
    [
        ('vision', dict(layer_norm_eps=1e-6), r'vision_config\.layer_norm_eps is 1e-06, known is'),
        ('text', dict(hidden_act='swish'), "asks for the activation 'swish', known are quick_gelu"),
        (
            'text',
            dict(num_attention_heads='8'),
            r"text_config\.num_attention_heads is '8', expected",
        ),
        ('vision', [1], r'vision_config is a list, expected an object'),
        ('vision', dict(num_attention_heads=4), None),
    ],
)
def test_settings_of_hugging_face(openai, tmp_path, part, settings, message):
    torch.save(openai, tmp_path / 'pytorch_model.bin')
    config = {'model_type': 'clip', f'{part}_config': settings}
    (tmp_path / 'config.json').write_text(json.dumps(config))
    if message is None:
        assert config_of(read_checkpoint(tmp_path))['backbone']['num_heads'] == 4
    else:
        with pytest.raises(ValueError, match=r'/config\.json.*' + message):
            read_checkpoint(tmp_path)


def test_hugging_face_file_of_older_releases(hugging_face_model, batch, tmp_path):
    theirs = hugging_face_model()
    weights = dict(theirs.state_dict())
    weights['text_model.embeddings.position_ids'] = torch.arange(12)[None]
    weights['vision_model.embeddings.position_ids'] = torch.arange(17)[None]
    torch.save(weights, tmp_path / 'renamed.weights')
    assert_same_features(tmp_path / 'renamed.weights', theirs, batch)


@pytest.mark.parametrize('name', ['preprocessor_config.json', 'open_clip_config.json'])
def test_another_normalisation_is_named(log_records, tmp_path, name):
    """ImageNet's mean, which no weight shows."""
    weights = 'open_clip_pytorch_model.bin' if 'open_clip' in name else 'pytorch_model.bin'
    torch.save(dict(key=torch.ones(2)), tmp_path / weights)
    for mean, std in (CLIP_NORM, ([0.485, 0.456, 0.406], CLIP_NORM[1]), (None, [0.5, 0.5])):
        content = dict(image_mean=mean, image_std=std, preprocess_cfg=dict(mean=mean, std=std))
        (tmp_path / name).write_text(json.dumps(content))
        read_checkpoint(tmp_path)
    (record,) = log_records
    assert name in record.getMessage()
    assert 'model.data_preprocessor.mean=[123.675, 116.28, 103.53]' in record.getMessage()


@pytest.mark.parametrize('container', ['plain', 'archive'])
def test_openai(openai, batch, tmp_path, save_torchscript, open_clip_model, container):
    theirs = open_clip_model()
    sizes = ('input_resolution', 'context_length', 'vocab_size')
    theirs.load_state_dict({key: t.float() for key, t in openai.items() if key not in sizes})
    if container == 'plain':
        torch.save(openai, tmp_path / container)
    else:
        mask = {'transformer.resblocks.0.attn_mask': torch.zeros(12, 12)}
        save_torchscript(openai | mask, tmp_path / container)
    assert_same_features(tmp_path / container, theirs, batch)


def test_mmpretrain_classifier_is_an_image_encoder():
    """Its ViT, built as MMPretrain's CLIP configs build it, has the names that are read."""
    from mmpretrain.models import VisionTransformer

    arch = dict(embed_dims=128, num_layers=2, num_heads=2, feedforward_channels=512)
    theirs = VisionTransformer(arch=arch, img_size=32, patch_size=8, pre_norm=True)
    weights = {f'backbone.{key}': tensor for key, tensor in theirs.state_dict().items()}
    classifier = weights | {'head.layers.head.weight': torch.zeros(10, 128)}
    assert set(convert_state_dict(classifier)) == set(weights)
    with pytest.raises(ValueError, match='an image encoder without text'):
        config_from_state_dict(classifier)
    del classifier['backbone.ln1.bias']
    with pytest.raises(ValueError, match=r'1 missing: backbone\.ln1\.bias'):
        convert_state_dict(classifier)


def full_size_batch():
    text = open_clip.get_tokenizer('ViT-B-32')(['a dog catches a ball', 'two people dance'])
    torch.manual_seed(0)
    return torch.randn(2, 3, 224, 224), text


@pytest.mark.slow
def test_open_clip_at_full_size(tmp_path):
    theirs = open_clip.create_model('ViT-B-16-quickgelu', pretrained=None).eval()
    torch.save(theirs.state_dict(), tmp_path / 'clip.pt')
    assert_same_features(tmp_path / 'clip.pt', theirs, full_size_batch())


@pytest.mark.slow
def test_hugging_face_at_full_size(tmp_path):
    transformers = pytest.importorskip('transformers')
    theirs = transformers.CLIPModel(transformers.CLIPConfig()).eval()  # its default is ViT-B/32
    theirs.save_pretrained(tmp_path)
    assert_same_features(tmp_path, theirs, full_size_batch())


@pytest.mark.slow
def test_released_checkpoint_at_full_size(tmp_path):
    """Names and shapes of TS2-Net on ViT-B/32; CLIP's matrices are fp16."""
    torch.manual_seed(0)
    clip = open_clip.create_model('ViT-B-32-quickgelu', pretrained=None).state_dict()
    halved = ('.attn.', '.mlp.', 'conv1', 'text_projection', 'visual.proj')
    weights = {'frame_position_embeddings.weight': 0.02 * torch.randn(77, 512)}
    for key, tensor in clip.items():
        if key.startswith(tuple(f'transformer.resblocks.{n}.' for n in range(4))):
            weights[key.replace('transformer.', 'transformerClip.')] = tensor.clone()
        shifts = key.startswith(tuple(f'visual.transformer.resblocks.{n}.' for n in (10, 11)))
        name = key.replace('.attn.', '.attn.net.') if shifts else key
        weights[f'clip.{name}'] = tensor.half() if any(h in key for h in halved) else tensor
    convs = {'in_conv.0.weight': (512,), 'in_conv.0.bias': (512,), 'in_conv.1.weight': (256, 512)}
    convs |= {'out_conv.0.weight': (256, 512), 'out_conv.2.weight': (1, 256)}
    for key, shape in convs.items():
        weights[f'visual_token_selector.score_predictor.{key}'] = 0.02 * torch.randn(shape)
    path = tmp_path / 'pytorch_model.bin.4'
    wrapped = {f'module.{key}': tensor for key, tensor in weights.items()}
    torch.save(wrapped, path, _use_new_zipfile_serialization=False)

    checkpoint = read_checkpoint(path)
    config = config_of(checkpoint)
    assert config['backbone']['shift_layers'] == (10, 11)
    assert (config['backbone']['num_heads'], config['text_encoder']['num_heads']) == (12, 8)
    model = MODELS.build(config).eval()
    load_weights(model, checkpoint)
    assert sum(p.numel() for p in model.parameters()) == sum(t.numel() for t in weights.values())
    mask = torch.arange(4) < torch.tensor([4, 2])[:, None]
    with torch.inference_mode():
        video = model.encode_video(torch.randn(2, 4, 3, 224, 224), mask)
        scores = model.similarity(model.encode_text(full_size_batch()[1]), video, mask)
    assert scores.shape == (2, 2) and scores.isfinite().all()
    back, _ = convert_checkpoint(checkpoint, 'released')
    assert set(back) == set(weights)
    assert all(torch.equal(back[key], tensor) for key, tensor in weights.items())
