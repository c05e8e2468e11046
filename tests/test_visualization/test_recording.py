"""What is recorded is what the parts compute."""

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS

from ts2net_mm.models.layers.perturbed_topk import fixed_noise
from ts2net_mm.models.layers.token_shift import shift_indices
from ts2net_mm.visualization import draw_strips


def listen(part):
    """Collect what a part gets and returns."""
    calls = []
    part.register_forward_hook(lambda module, args, out: calls.append((args, out)))
    return calls


@pytest.mark.parametrize('test_mode', ['fixed_noise', 'hard', 'fresh_noise'])
def test_the_selection_is_that_of_the_neck(build, record, test_mode):
    """With the recorded weights the patches that enter the neck give the tokens that leave it."""
    model = build(neck=dict(test_mode=test_mode))
    calls = listen(model.neck)
    found = record(model)
    (tokens, *_), out = calls[0]
    expected = torch.from_numpy(found.selection) @ tokens[0, :, 1:]
    torch.testing.assert_close(out[0, :, 1:], expected)
    assert found.selection.shape == (5, 3, 16)
    np.testing.assert_allclose(found.selection.sum(axis=-1), 1, rtol=1e-6)
    assert found.grid == (4, 4)


def test_the_scores_with_the_fixed_noise_give_the_selection(build, record):
    found = record(build(neck=dict(sigma=0.02)))
    noise = fixed_noise(20, 16, 0, torch.float32)[0].numpy()
    for scores, selection in zip(found.scores, found.selection, strict=True):
        counts = np.zeros((3, 16))
        for sample in scores + 0.02 * noise:
            for slot, patch in enumerate(sorted(np.argsort(sample)[-3:])):
                counts[slot, patch] += 1
        np.testing.assert_allclose(selection, counts / 20, atol=1e-6)


def test_shifted_tokens_come_from_the_neighbours(build, record):
    found = record(build())
    expected = np.zeros((5, 17, 5))
    forward, backward = (index.tolist() for index in shift_indices(17, 4))
    for frame in range(5):
        for token in range(17):
            origin = frame
            if token in forward and frame in (1, 2, 3):
                origin = frame - 1
            if token in backward and frame in (0, 1, 2):  # frame 4 is padding
                origin = frame + 1
            if frame == 4 and token in forward:
                origin = 3
            expected[frame, token, origin] = 1
    np.testing.assert_array_equal(found.origins, expected)
    assert found.shift_layers == (1, 2)


def test_a_shift_of_channels_gives_their_share(build, record):
    """Of 32 channels 4 come from each neighbour that is there."""
    shift = dict(type='ChannelShift', fraction=1 / 8, tokens='patches')
    found = record(build(backbone=dict(shift=shift)))
    assert found.origins[0, 5].tolist() == [0.875, 0.125, 0, 0, 0]
    assert found.origins[2, 5].tolist() == [0, 0.125, 0.75, 0.125, 0]
    assert found.origins[3, 5].tolist() == [0, 0, 0.125, 0.875, 0]  # frame 4 is padding
    np.testing.assert_array_equal(found.origins[:, 0], np.eye(5))
    note = draw_strips(found, ['shift'])[0].note
    assert 'Of each, ' in note and note.endswith(' % of the channels move.')


def test_frame_weights_are_the_softmax_of_the_formula(build, record):
    model = build()
    videos = listen(model.head.temporal)
    found = record(model)
    text = model.encode_text(torch.arange(1, 13)[None])
    cosines = torch.cosine_similarity(text, videos[0][1][0], dim=-1).detach()
    np.testing.assert_allclose(found.cosines, cosines, rtol=1e-5)
    valid = cosines[:4]
    weights = torch.softmax(4 * valid / valid.norm(), dim=0)
    np.testing.assert_allclose(found.frame_weights, [*weights, 0], rtol=1e-5)
    assert found.similarity == pytest.approx((weights * valid).sum().item(), rel=1e-5)


def test_frames_are_the_pictures_of_the_pipeline(build, record, inputs):
    found = record(build(), seconds=np.arange(5) / 2)
    np.testing.assert_array_equal(found.frames, inputs['imgs'].transpose(0, 2, 3, 1))
    assert found.seconds.tolist() == [0, 0.5, 1, 1.5, 2]
    assert np.isnan(record(build()).seconds).all()


def test_what_a_model_lacks_is_named(build, record):
    found = record(build(backbone=dict(shift_layers=()), neck=dict(type='CLSOnly')))
    assert found.selection is found.scores is found.origins is found.kept is None
    assert found.absent == dict(
        selection='CLSOnly keeps no patches',
        scores='CLSOnly computes no scores',
        origins='its TokenShiftViT shifts no tokens',
    )
    assert found.shift_layers == ()


class MaxSimilarity(torch.nn.Module):
    """Cosine of the sentence and its best frame."""

    def forward(self, text, video, frame_mask):
        cosine = torch.cosine_similarity(text[:, None, None], video[None], dim=-1)
        return cosine.masked_fill(~frame_mask, -torch.inf).amax(dim=-1)


def test_a_similarity_without_frame_weights(build, record):
    model = build()
    model.head.cosine_similarity = MaxSimilarity()
    found = record(model)
    assert found.frame_weights is None
    assert found.absent == dict(frame_weights='MaxSimilarity has none')
    assert found.similarity == pytest.approx(found.cosines[:4].max(), rel=1e-5)
    model.head.cosine_similarity = MODELS.build(dict(type='MeanPooledSimilarity'))
    assert record(model).frame_weights.tolist() == [0.25, 0.25, 0.25, 0.25, 0]


def test_random_numbers_of_the_caller_are_unchanged(build, record):
    model = build(neck=dict(test_mode='fresh_noise'))
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    record(model)
    assert torch.rand(1) == expected
