"""Batches on the device."""

import torch

from ts2net_mm.models import TextVideoDataPreprocessor


def build() -> TextVideoDataPreprocessor:
    return TextVideoDataPreprocessor(mean=[100.0, 50.0, 0.0], std=[10.0, 5.0, 2.0])


def loaded(**inputs) -> dict:
    imgs = [torch.full((4, 3, 8, 8), 20 * (n + 1), dtype=torch.uint8) for n in range(2)]
    return dict(inputs=dict(imgs=imgs, **inputs), data_samples=[None, None])


def test_pixels_are_normalised_and_masked_frames_are_zero():
    mask = [torch.tensor([True, True, False, False]), torch.ones(4, dtype=torch.bool)]
    batch = build()(loaded(frame_mask=mask))['inputs']
    assert batch['imgs'].shape == (2, 4, 3, 8, 8)
    assert batch['imgs'][0, 0, :, 0, 0].tolist() == [-8.0, -6.0, 10.0]
    assert (batch['imgs'][0, 2:] == 0).all()
    assert (batch['imgs'][1] != 0).all(dim=0).any()
    assert torch.equal(batch['frame_mask'], torch.stack(mask))


def test_ragged_captions_are_stacked():
    text = [torch.ones(3, 5, dtype=torch.long), 2 * torch.ones(1, 5, dtype=torch.long)]
    batch = build()(loaded(text=text))['inputs']
    assert batch['text'][:, 0].tolist() == [1, 1, 1, 2]
    assert batch['num_captions'] == [3, 1]


def test_captions_of_mmaction2s_tokenizer():
    text = [torch.full((5,), 1), torch.full((5,), 2)]
    batch = build()(loaded(text=text))['inputs']
    assert batch['text'].tolist() == [[1] * 5, [2] * 5]
    assert batch['num_captions'] == [1, 1]


def test_all_frames_are_valid_without_a_mask():
    assert build()(loaded())['inputs']['frame_mask'].all()


def test_clip_normalisation_is_the_default():
    batch = TextVideoDataPreprocessor()(loaded())['inputs']
    expected = [(20 / 255 - 0.48145466) / 0.26862954, (20 / 255 - 0.4578275) / 0.26130258]
    torch.testing.assert_close(batch['imgs'][0, 0, :2, 0, 0], torch.tensor(expected))
