"""The exported encoders against the model, and what surrounds them."""

import json

import pytest
import torch
from mmengine.config import Config
from tiny import model_config
from torch import nn

from ts2net_mm.apis.inferencer import build_model
from ts2net_mm.export import VideoShape, export_onnx, onnx_export, video_shape
from ts2net_mm.export.encoders import check_exportable, write_text_encoder, write_video_encoder

onnxruntime = pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')

FIXED = VideoShape(4, 32, 32)
DYNAMIC = VideoShape(6, 32, 32, dynamic=True)
MOST_ATTENDED = dict(_delete_=True, type='FixedSelection', rule='attention')
SIZES = ((1, 4), (3, 4), (2, 4), (3, 4))  # videos and frames of the calls


def run(path, **inputs):
    session = onnxruntime.InferenceSession(path)
    return torch.from_numpy(session.run(None, {k: v.numpy() for k, v in inputs.items()})[0])


def check_videos(path, model, sizes=SIZES):
    """Compare with the model on videos of which the first has half of its frames."""
    height, width = model.backbone.img_size
    for num_videos, num_frames in sizes:
        mask = torch.ones(num_videos, num_frames, dtype=torch.bool)
        mask[0, max(1, num_frames // 2) :] = False
        imgs = torch.randn(num_videos, num_frames, 3, height, width) * mask[..., None, None, None]
        found = run(path, imgs=imgs, frame_mask=mask)
        expected = model.encode_video(imgs, mask)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def tiny(**settings):
    torch.manual_seed(0)
    config = Config(dict(model=model_config()))
    config.merge_from_dict({f'model.{key}': value for key, value in settings.items()})
    model = build_model(config).eval()
    model.init_weights()
    return model


@pytest.fixture(scope='module')
def exported(inferencer, tmp_path_factory):
    """The folder of an export with any number of frames up to six."""
    folder = tmp_path_factory.mktemp('export') / 'onnx'
    export_onnx(inferencer, folder, shape=DYNAMIC)
    return folder


@torch.inference_mode()
def test_the_text_encoder(tmp_path):
    model = tiny(**{'text_encoder.num_layers': 1})
    write_text_encoder(model, tmp_path / 'text.onnx', context_length=9)  # of 12 positions
    for num_texts in (2, 1, 3, 2):
        text = torch.randint(1, 49, (num_texts, 9))
        text[:, 7] = 49
        found = run(tmp_path / 'text.onnx', text=text)
        torch.testing.assert_close(found, model.encode_text(text), atol=1e-4, rtol=0)


@pytest.mark.slow
@torch.inference_mode()
def test_any_number_of_frames(exported, inferencer):
    sizes = [(num_videos, frames) for num_videos in (1, 3) for frames in range(1, 7)]
    check_videos(exported / 'video_encoder.onnx', inferencer.model, sizes)


@pytest.mark.slow
def test_more_frames_than_positions_are_an_error(exported):
    mask = torch.ones(1, 7, dtype=torch.bool)
    with pytest.raises(Exception, match='28'):  # tokens, for 24 positions
        run(exported / 'video_encoder.onnx', imgs=torch.zeros(1, 7, 3, 32, 32), frame_mask=mask)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('settings', 'shape'),
    [
        ({'neck.test_mode': 'hard', 'backbone.mask_aware_shift': False}, DYNAMIC),
        ({'head.temporal.num_positions': 9, 'head.temporal.mask_order': 'tiled'}, FIXED),
        ({'head.temporal': dict(_delete_=True, type='TemporalLSTM', embed_dims=16)}, DYNAMIC),
        ({'neck': None, 'head.temporal': None, 'backbone.shift_layers': ()}, DYNAMIC),
        ({'neck.context': 'video', 'backbone.forward_offset': None}, DYNAMIC),
        ({'neck.candidates': 'all', 'backbone.shift': dict(type='RandomTokenShift')}, DYNAMIC),
        ({'neck': MOST_ATTENDED, 'backbone.shift': dict(type='ChannelShift')}, DYNAMIC),
    ],
)
@torch.inference_mode()
def test_other_parts(tmp_path, settings, shape):
    model = tiny(**settings)
    check_exportable(model, shape)
    write_video_encoder(model, tmp_path / 'video.onnx', shape=shape)
    check_videos(tmp_path / 'video.onnx', model)


@pytest.mark.slow
@torch.inference_mode()
def test_frames_of_another_size_than_the_position_table(tmp_path):
    model = tiny()
    write_video_encoder(model, tmp_path / 'video.onnx', shape=VideoShape(4, 48, 64))
    model.backbone.img_size = (48, 64)
    check_videos(tmp_path / 'video.onnx', model)


@pytest.mark.slow
def test_the_folder_describes_the_model(exported, inferencer):
    assert {path.name for path in exported.iterdir()} == {
        'bpe_simple_vocab_16e6.txt.gz',
        'encode.py',
        'export.json',
        'search.py',
        'text_encoder.onnx',
        'video_encoder.onnx',
    }
    found = json.loads((exported / 'export.json').read_text())
    assert found['fingerprint'] == inferencer.fingerprint
    assert found['selection'] == 'fixed_noise'
    text, video, similarity = found['text'], found['video'], found['similarity']
    assert (text['context_length'], text['start'], text['end']) == (12, 49406, 49407)
    assert (video['num_frames'], video['dynamic_frames'], video['height']) == (6, True, 32)
    assert video['mean'] == pytest.approx([122.771, 116.746, 104.094], abs=1e-3)
    assert video['pipeline'][1] == dict(type='SampleFramesByRate', num_frames=4, frame_rate=3)
    assert 'bicubic' in video['rules']['CLIPResize']
    assert similarity == dict(
        type='FrameWeightedSimilarity', temperature=4.0, logit_scale=pytest.approx(1 / 0.07)
    )


@pytest.mark.slow
def test_int8(inferencer, exported, tmp_path):
    """Features of 8 bits are near those of the model, and the files are smaller.

    Not very near: 8 bits move random weights of few dimensions far, and with them the selection.
    """
    torch.manual_seed(0)
    differences = export_onnx(inferencer, tmp_path / 'int8', shape=FIXED, int8=True)
    for name, difference in differences.items():
        assert 1e-4 < difference < 0.5  # 1.4 for features that have nothing in common
        assert (tmp_path / 'int8' / name).stat().st_size < (exported / name).stat().st_size
    assert json.loads((tmp_path / 'int8/export.json').read_text())['precision'] == 'int8'


@pytest.mark.parametrize('difference', [2e-4, float('nan')])
def test_files_that_differ_from_the_model_are_not_kept(
    inferencer, tmp_path, monkeypatch, difference
):
    found = {'text_encoder.onnx': 0.0, 'video_encoder.onnx': difference}
    for name in ('write_text_encoder', 'write_video_encoder', 'measure_parity'):
        monkeypatch.setattr(onnx_export, name, lambda *args, **settings: found)
    with pytest.raises(ValueError, match='video_encoder.onnx differ .*expected at most 1e-04'):
        export_onnx(inferencer, tmp_path / 'onnx', shape=FIXED)
    assert not list(tmp_path.iterdir())


def test_frames_of_the_pipeline(inferencer, load):
    assert video_shape(inferencer) == FIXED
    assert video_shape(inferencer, num_frames=6, dynamic=True) == DYNAMIC
    steps = [step for step in inferencer.cfg.test_pipeline if step.type != 'SampleFramesByRate']
    unsampled = load(test_pipeline=steps)
    with pytest.raises(ValueError, match='does not tell its number of frames'):
        video_shape(unsampled)


@pytest.mark.parametrize(
    ('settings', 'shape', 'message'),
    [
        ({'neck.test_mode': 'fresh_noise'}, FIXED, "test_mode='fresh_noise' draws noise in each"),
        ({}, VideoShape(7, 32, 32, True), '7 frames of 4 tokens exceed the 24 temporal positions'),
        ({}, VideoShape(3, 32, 32, True), 'needs a maximum above 3, found 3'),
    ],
)
def test_models_that_cannot_be_exported(settings, shape, message):
    with pytest.raises(ValueError, match=message):
        check_exportable(tiny(**settings), shape)


def test_another_model():
    with pytest.raises(ValueError, match='the model is Linear, expected TS2Net'):
        check_exportable(nn.Linear(1, 1), FIXED)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'model.head.similarity': dict(type='FrameWeightedSimilarity', mask_order='tiled')},
            "cannot describe the similarity .*'tiled'",
        ),
        (
            {'model.data_preprocessor': dict(type='ActionDataPreprocessor')},
            'the data preprocessor is ActionDataPreprocessor',
        ),
    ],
)
def test_what_cannot_be_described(load, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        export_onnx(load(**options), tmp_path / 'onnx', shape=FIXED)
    assert not list(tmp_path.iterdir())
