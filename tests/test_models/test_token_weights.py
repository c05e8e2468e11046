"""Word and frame weights, and the whole model that compares words."""

import pytest
import torch
from mmaction.registry import MODELS

from ts2net_mm.models import TokenWeights


@pytest.fixture
def config(tiny_config) -> dict:
    tiny_config['text_encoder']['output'] = 'words'
    tiny_config['head']['similarity'] = dict(type='TokenInteraction')
    tiny_config['head']['token_weights'] = dict(type='TokenWeights', embed_dims=16)
    return tiny_config


@pytest.fixture
def batch():
    torch.manual_seed(2)
    mask = torch.arange(4) < torch.tensor([4, 2])[:, None]
    imgs = torch.rand(2, 4, 3, 32, 32) * mask[..., None, None, None]
    text = torch.tensor([[48, 1, 2, 49], [48, 3, 49, 0]])
    return dict(imgs=imgs, text=text, frame_mask=mask)


def test_lengths_are_the_softmax_of_the_scores():
    torch.manual_seed(0)
    weights = TokenWeights(embed_dims=8)
    words = torch.randn(2, 5, 8)
    words[1, 3:] = 0.0
    found = weights.weigh_words(words)
    first, _, last = weights.words
    for sentence, scaled, count in zip(words, found, (5, 3), strict=True):
        spoken = sentence[:count]
        hidden = (spoken @ first.weight.T + first.bias).clamp_min(0)
        scores = (hidden @ last.weight.T)[:, 0]
        torch.testing.assert_close(scaled[:count].norm(dim=-1), scores.exp() / scores.exp().sum())
        torch.testing.assert_close(
            torch.cosine_similarity(scaled[:count], spoken), torch.ones(count)
        )
        assert not scaled[count:].any()


def test_without_layers_all_weights_are_equal():
    weights = TokenWeights(embed_dims=8, num_layers=0)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    lengths = weights.weigh_frames(torch.randn(2, 3, 8), mask).norm(dim=-1)
    torch.testing.assert_close(lengths, torch.tensor([[1 / 3] * 3, [1.0, 0.0, 0.0]]))
    assert not list(weights.parameters())


def test_words_are_the_hidden_states_up_to_the_end(config, batch):
    torch.manual_seed(0)
    words = MODELS.build(config['text_encoder']).eval()
    sentences = MODELS.build(dict(config['text_encoder'], output='sentence')).eval()
    sentences.load_state_dict(words.state_dict())
    found = words(batch['text'])
    assert found.shape == (2, 4, 16)
    torch.testing.assert_close(found[[0, 1], [3, 2]], sentences(batch['text']))
    assert not found[1, 3].any()
    assert found[1, :3].any(dim=-1).all()


def test_every_parameter_of_a_model_of_words_is_trained(config, batch):
    torch.manual_seed(0)
    model = MODELS.build(config)
    model.init_weights()
    sum(model.loss(batch).values()).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]


@torch.no_grad()
def test_the_padding_of_words_and_frames_has_no_effect(config, batch):
    torch.manual_seed(0)
    model = MODELS.build(config).eval()
    text, mask = model.encode_text(batch['text']), batch['frame_mask']
    together = model.similarity(text, model.encode_video(batch['imgs'], mask), mask)
    short = model.encode_text(batch['text'][1:, :3])
    alone = model.similarity(short, model.encode_video(batch['imgs'][1:, :2]))
    torch.testing.assert_close(together[1:, 1:], alone)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(text_encoder=dict(output='sentence')), r"needs text_encoder=dict\(output='words'\)"),
        (dict(head=dict(token_weights=None)), 'compares words and needs token_weights'),
        (
            dict(head=dict(similarity=dict(type='MeanPooledSimilarity'))),
            'MeanPooledSimilarity does not use token_weights',
        ),
        (dict(text_encoder=dict(output='letters')), "output='letters' is unknown"),
    ],
)
def test_parts_that_do_not_fit(config, change, message):
    for part, settings in change.items():
        config[part].update(settings)
    with pytest.raises(ValueError, match=message):
        MODELS.build(config)


def test_a_selection_without_a_temporal_module(tiny_config):
    tiny_config['head']['temporal'] = None
    with pytest.raises(ValueError, match='TokenSelection would train nothing'):
        MODELS.build(tiny_config)
