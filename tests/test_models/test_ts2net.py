"""The whole model."""

import pytest
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.evaluator import Evaluator

from ts2net_mm.models import TokenShiftViT


@pytest.fixture
def batch():
    torch.manual_seed(2)
    mask = torch.arange(6) < torch.tensor([6, 3, 4])[:, None]
    imgs = torch.rand(3, 6, 3, 32, 32) * mask[..., None, None, None]
    text = torch.tensor([[48, 1, 2, 49], [48, 3, 49, 0], [48, 4, 5, 49]])
    return dict(imgs=imgs, text=text, frame_mask=mask)


@torch.no_grad()
def test_padded_batch_equals_the_unpadded_video(tiny_model, batch):
    together = tiny_model.encode_video(batch['imgs'], batch['frame_mask'])
    for index, length in enumerate(batch['frame_mask'].sum(dim=1)):
        alone = tiny_model.encode_video(batch['imgs'][index : index + 1, :length])
        torch.testing.assert_close(together[index, :length], alone[0])


@torch.no_grad()
def test_pixels_of_masked_frames_have_no_effect(tiny_model, batch):
    garbage = torch.where(batch['frame_mask'][..., None, None, None], batch['imgs'], 5.0)
    text = tiny_model.encode_text(batch['text'])
    scores = [
        tiny_model.similarity(
            text, tiny_model.encode_video(imgs, batch['frame_mask']), batch['frame_mask']
        )
        for imgs in (batch['imgs'], garbage)
    ]
    torch.testing.assert_close(*scores)


@torch.no_grad()
def test_a_neck_gets_mask_and_attention(tiny_config, batch):
    tiny_config['neck'] = dict(type='FixedSelection', rule='attention')
    model = MODELS.build(tiny_config).eval()
    seen = []
    model.neck.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    model.encode_video(batch['imgs'], batch['frame_mask'])
    tokens, attention = model.backbone(batch['imgs'], batch['frame_mask'], with_attention=True)
    torch.testing.assert_close(seen[0], (tokens, batch['frame_mask'], attention))


def test_attention_that_the_backbone_does_not_give(tiny_config, monkeypatch):
    tiny_config['neck'] = dict(type='FixedSelection', rule='attention')
    monkeypatch.setattr(TokenShiftViT, 'gives_attention', False)
    message = 'FixedSelection needs the attention of the last block, which TokenShiftViT does not'
    with pytest.raises(ValueError, match=message):
        MODELS.build(tiny_config)


@pytest.mark.parametrize(
    'neck',
    [
        dict(context='video'),
        dict(context='none', train_mode='straight_through'),
        dict(candidates='all'),
        dict(type='FixedSelection', rule='random', _delete_=True),
        dict(type='FixedSelection', rule='attention', _delete_=True),
        dict(type='PatchMean', _delete_=True),
    ],
)
def test_any_selection_trains_every_parameter_and_ignores_padding(tiny_config, batch, neck):
    config = Config(tiny_config)
    config.merge_from_dict(dict(neck=neck))
    model = MODELS.build(config.to_dict())
    model.init_weights()
    sum(model.loss(batch).values()).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]
    with torch.no_grad():
        together = model.eval().encode_video(batch['imgs'], batch['frame_mask'])
        torch.testing.assert_close(together[1, :3], model.encode_video(batch['imgs'][1:2, :3])[0])


@torch.no_grad()
def test_one_frame_one_video(tiny_model, batch):
    video = tiny_model.encode_video(batch['imgs'][:1, :1])
    assert video.shape == (1, 1, 16)
    text = tiny_model.encode_text(batch['text'][:1])
    cosine = torch.cosine_similarity(text, video[:, 0])
    scale = tiny_model.head.logit_scale.exp()
    torch.testing.assert_close(tiny_model.similarity(text, video)[0], scale * cosine)


def test_every_parameter_is_used(tiny_model, batch):
    sum(tiny_model.train().loss(batch).values()).backward()
    unused = [name for name, p in tiny_model.named_parameters() if p.grad is None]
    assert not unused


@torch.no_grad()
def test_predict_keeps_the_captions_of_each_video_together(tiny_model, batch):
    inputs = dict(batch, text=batch['text'][[0, 1, 2, 0, 1]], num_captions=[1, 3, 1])
    samples = [ActionDataSample(metainfo=dict(video_id=str(i))) for i in range(3)]
    predicted = [sample.to_dict() for sample in tiny_model(inputs, samples, mode='predict')]
    text = tiny_model.encode_text(inputs['text'])
    video = tiny_model.encode_video(batch['imgs'], batch['frame_mask'])
    for index, rows in enumerate(([0], [1, 2, 3], [4])):
        features = predicted[index]['features']
        assert predicted[index]['video_id'] == str(index)
        torch.testing.assert_close(features['text_features'], text[rows])
        torch.testing.assert_close(features['frame_features'], video[index])
        assert torch.equal(features['frame_mask'], batch['frame_mask'][index])
        assert features['similarity'] == dict(type='mmaction.FrameWeightedSimilarity')
        assert features['logit_scale'] == pytest.approx(1 / 0.07)
    torch.testing.assert_close(predicted[0]['features']['text_feature'], text[0])
    assert 'text_feature' not in predicted[1]['features']


@torch.no_grad()
def test_pooled_feature_is_the_mean_of_valid_normalised_frames(tiny_config, batch):
    tiny_config['head']['similarity'] = dict(type='MeanPooledSimilarity')
    model = MODELS.build(tiny_config).eval()
    features = model(batch, None, mode='predict')[1].to_dict()['features']
    frames = features['frame_features'][:3]
    expected = (frames / frames.norm(dim=-1, keepdim=True)).mean(dim=0)
    torch.testing.assert_close(features['video_feature'], expected)


def test_ablations_build_nothing_unused(tiny_config, batch):
    tiny_config.update(neck=None, head=dict(type='RetrievalHead'))
    tiny_config['backbone']['shift_layers'] = ()
    tiny_config['head']['similarity'] = dict(type='MeanPooledSimilarity')
    model = MODELS.build(tiny_config)
    assert not any(
        name.startswith(('neck', 'head.temporal')) for name, _ in model.named_parameters()
    )
    sum(model.loss(batch).values()).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_autocast_stays_close_to_fp32(tiny_model, batch):
    with torch.no_grad():
        exact = tiny_model(batch, mode='loss')
        with torch.autocast('cpu', dtype=torch.bfloat16):
            mixed = tiny_model(batch, mode='loss')
    for name, loss in exact.items():
        assert mixed[name].dtype == torch.float32
        assert mixed[name].item() == pytest.approx(loss.item(), rel=0.05)


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda model, batch: model(batch, mode='train'), "mode='train' is unknown"),
        (
            lambda model, batch: model.loss(dict(batch, text=batch['text'][:2])),
            'found 2 texts for 3 videos',
        ),
        (
            lambda model, batch: model.predict(dict(batch, num_captions=[1, 1, 2])),
            r'found 3 texts for num_captions=\[1, 1, 2\]',
        ),
        (
            lambda model, batch: model.encode_video(batch['imgs'], batch['frame_mask'][:, :5]),
            r'frame_mask has shape \(3, 5\), expected \(3, 6\)',
        ),
        (
            lambda model, batch: model.encode_video(batch['imgs'][:, 0]),
            r'imgs has shape \(3, 3, 32, 32\), expected \(B, T, 3',
        ),
    ],
)
def test_inputs_that_do_not_fit(tiny_model, batch, call, message):
    with pytest.raises(ValueError, match=message):
        call(tiny_model, batch)


def test_bad_settings(tiny_config):
    tiny_config['head']['logit_scale'] = 0.0
    with pytest.raises(ValueError, match='logit_scale=0.0 must be positive'):
        MODELS.build(tiny_config)
    tiny_config['backbone']['shift_layer'] = (1,)
    with pytest.raises(TypeError, match="TokenShiftViT.*unexpected keyword argument 'shift_layer'"):
        MODELS.build(tiny_config)


@pytest.mark.parametrize(('topk', 'expected'), [(3, 4), (5, 6), (None, 1)])
def test_temporal_positions_use_the_tokens_per_frame(tiny_config, topk, expected):
    if topk is None:
        tiny_config['neck'] = None
    else:
        tiny_config['neck']['topk'] = topk
    assert MODELS.build(tiny_config).head.temporal.tokens_per_frame == expected


@torch.no_grad()
def test_predictions_do_not_keep_the_batch_in_memory(tiny_model, batch):
    features = tiny_model(batch, mode='predict')[0].features
    assert features.frame_features.untyped_storage().nbytes() == 6 * 16 * 4


@torch.no_grad()
@pytest.mark.parametrize(
    ('similarity', 'num_captions', 'message'),
    [
        ('FrameWeightedSimilarity', None, 'FrameWeightedSimilarity compares frames, so a video'),
        ('MeanPooledSimilarity', [2, 1, 0], 'a video with 2 captions has no single text_feature'),
    ],
)
def test_mmaction2s_own_metric_explains_what_it_cannot_rank(
    tiny_config, batch, similarity, num_captions, message
):
    tiny_config['head']['similarity'] = dict(type=similarity)
    model = MODELS.build(tiny_config).eval()
    evaluator = Evaluator(dict(type='mmaction.RetrievalMetric'))
    predicted = model(dict(batch, num_captions=num_captions), mode='predict')
    with pytest.raises(ValueError, match=message):
        evaluator.process(predicted)
    with pytest.raises(KeyError):
        predicted[0].to_dict()['features']['nothing']


@torch.no_grad()
def test_extract_feat(tiny_model, batch):
    video, text = tiny_model.extract_feat(batch)
    assert torch.equal(video, tiny_model.encode_video(batch['imgs'], batch['frame_mask']))
    assert torch.equal(text, tiny_model.encode_text(batch['text']))
    alone = tiny_model.extract_feat(batch['imgs'])
    assert torch.equal(alone, tiny_model.encode_video(batch['imgs']))


def test_checkpointing_autocast_and_freezing_together(tiny_config, batch):
    plain = MODELS.build(tiny_config)
    for part in ('backbone', 'text_encoder'):
        tiny_config[part].update(with_cp=True, frozen_stages=1)
    tiny_config['head']['temporal']['with_cp'] = True
    model = MODELS.build(tiny_config)
    model.load_state_dict(plain.state_dict())
    losses = []
    for each in (plain, model):
        torch.manual_seed(1)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            losses.append(sum(each.train().loss(batch).values()))
    torch.testing.assert_close(*losses)
    losses[1].backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
