"""A tiny model on disk, and folders of tiny videos."""

import os
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from ts2net_mm.apis import Gallery, RetrievalInferencer
from ts2net_mm.apis.inferencer import build_model, load_config
from ts2net_mm.rendered import encode_mp4

WIDTH = 16

TINY_CONFIG = f"""
custom_imports = dict(imports=['ts2net_mm'])
default_scope = 'mmaction'
model = dict(
    type='TS2Net',
    data_preprocessor=dict(
        type='TextVideoDataPreprocessor', mean=[120, 115, 105], std=[68, 67, 70]
    ),
    backbone=dict(
        type='TokenShiftViT', embed_dims={WIDTH}, num_layers=2, num_heads=2, img_size=24,
        patch_size=8, out_dims={WIDTH}, shift_layers=(1,), num_shift_tokens=2),
    text_encoder=dict(
        type='CLIPTextEncoder', width={WIDTH}, num_layers=1, num_heads=2, context_length=16,
        out_dims={WIDTH}),
    neck=dict(type='TokenSelection', embed_dims={WIDTH}, topk=2, num_samples=20),
    head=dict(
        type='RetrievalHead',
        temporal=dict(
            type='TemporalTransformer', embed_dims={WIDTH}, num_layers=1, num_heads=2,
            num_positions=12)))
test_pipeline = [
    dict(type='DecordInit'),
    dict(type='SampleFramesByRate', num_frames=4, frame_rate=3),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(-1, 24)),
    dict(type='CenterCrop', crop_size=24),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='TokenizeCaptions', max_words=16),
    dict(
        type='PackActionInputs',
        collect_keys=('imgs', 'text', 'frame_mask'),
        meta_keys=('video_id', 'captions')),
]
"""


def write_video(path: Path, *, seed: int = 0, frames: int = 12, fps: int = 6) -> Path:
    """Write a video of coloured noise blocks."""
    blocks = np.random.default_rng(seed).integers(0, 256, (frames, 4, 5, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_mp4(blocks.repeat(8, axis=1).repeat(8, axis=2), fps=fps))
    return path


@pytest.fixture(scope='session')
def config_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('model') / 'tiny.py'
    path.write_text(TINY_CONFIG)
    return path


@pytest.fixture(scope='session')
def checkpoint(config_file) -> Path:
    torch.manual_seed(0)
    model = build_model(load_config(config_file))
    state_dict = {
        key: value if value.dim() == 0 else 0.2 * torch.randn_like(value)
        for key, value in model.state_dict().items()
    }
    path = config_file.with_suffix('.pth')
    torch.save(dict(state_dict=state_dict, meta=dict()), path)
    return path


@pytest.fixture(scope='session')
def inferencer(config_file, checkpoint) -> RetrievalInferencer:
    return RetrievalInferencer(config_file, checkpoint, device='cpu')


@pytest.fixture(scope='session')
def video_folder(tmp_path_factory) -> Path:
    """Six videos, one of them shorter than the model's four frames, one in a sub-folder."""
    folder = tmp_path_factory.mktemp('videos')
    for index in range(4):
        write_video(folder / f'{index}.mp4', seed=index)
    write_video(folder / 'short.mp4', seed=4, frames=3)
    write_video(folder / 'sub' / '5.mp4', seed=5)
    return folder


@pytest.fixture(scope='session')
def gallery(inferencer, video_folder, tmp_path_factory) -> Gallery:
    return Gallery.open(video_folder, inferencer, cache_dir=tmp_path_factory.mktemp('cache'))


@pytest.fixture
def bad_folder(tmp_path) -> Path:
    """Files that have the ending of a video and are not videos."""
    folder = tmp_path / 'bad'
    whole = write_video(folder / 'cut.mp4').read_bytes()
    (folder / 'cut.mp4').write_bytes(whole[: len(whole) // 2])
    (folder / 'empty.mp4').touch()
    (folder / 'text.mp4').write_text('no video\n' * 50)
    (folder / 'link.mp4').symlink_to(folder / 'nowhere.mp4')
    os.mkfifo(folder / 'pipe.mp4')
    with wave.open(str(folder / 'audio.mp4'), 'wb') as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(8000)
        audio.writeframes(bytes(16000))
    return folder


@pytest.fixture
def make_video():
    return write_video
