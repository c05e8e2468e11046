"""The tiny models and projects that the tests share."""

import json
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from mmengine.config import ConfigDict

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).parent / 'data'

# sizes that make the parts of any config tiny
ENCODERS = {
    'backbone.embed_dims': 32,
    'backbone.num_layers': 2,
    'backbone.num_heads': 2,
    'backbone.out_dims': 16,
    'text_encoder.width': 32,
    'text_encoder.num_layers': 2,
    'text_encoder.num_heads': 2,
    'text_encoder.out_dims': 16,
}
PARTS = dict(
    TokenSelection=dict(embed_dims=16, num_samples=10),
    TemporalTransformer=dict(embed_dims=16, num_layers=1, num_heads=2),
    TemporalLSTM=dict(embed_dims=16),
    TokenWeights=dict(embed_dims=16),
)


def model_config() -> dict:
    """A model that runs in milliseconds: 4 x 4 patches, 50 words, up to 6 frames of 4 tokens."""
    return dict(
        type='TS2Net',
        backbone=dict(
            type='TokenShiftViT',
            embed_dims=32,
            num_layers=3,
            num_heads=2,
            img_size=32,
            patch_size=8,
            out_dims=16,
            shift_layers=(1, 2),
            num_shift_tokens=4,
        ),
        text_encoder=dict(
            type='CLIPTextEncoder',
            vocab_size=50,
            context_length=12,
            width=32,
            num_layers=2,
            num_heads=2,
            out_dims=16,
        ),
        neck=dict(type='TokenSelection', embed_dims=16, topk=3, num_samples=20),
        head=dict(
            type='RetrievalHead',
            temporal=dict(
                type='TemporalTransformer',
                embed_dims=16,
                num_layers=2,
                num_heads=2,
                num_positions=24,
            ),
        ),
    )


def shrinking_options(model: ConfigDict) -> dict[str, object]:
    """The options that make the model of a config tiny and its weights random."""
    found: dict[str, object] = {f'model.{key}': size for key, size in ENCODERS.items()}
    found |= {'model.init_cfg': None}
    if model.backbone.shift_layers:
        found['model.backbone.shift_layers'] = (0, 1)
    parts = {'neck': model.neck, 'head.temporal': model.head.temporal}
    parts |= {'head.token_weights': model.head.get('token_weights')}
    for name, part in parts.items():
        sizes = PARTS.get(part.type, {}) if part else {}
        found |= {f'model.{name}.{key}': size for key, size in sizes.items()}
    return found


@cache
def reference(name: str) -> dict[str, torch.Tensor]:
    """A file of numbers of the released model, fp16 values as fp32."""
    with np.load(DATA / name) as arrays:
        tensors = {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}
    return {
        key: tensor.float() if tensor.dtype == torch.float16 else tensor
        for key, tensor in tensors.items()
    }


# a moving-shapes run of a few seconds
CONFIG = f"""
_base_ = {str(ROOT / 'configs' / 'ts2net_moving-shapes.py')!r}

data_root = 'DATA_ROOT'
batch_size = 2
model = dict(
    backbone=dict(embed_dims=16, num_layers=2, num_heads=2, out_dims=16, shift_layers=(0, 1)),
    text_encoder=dict(width=16, num_layers=1, num_heads=2, out_dims=16),
    neck=dict(embed_dims=16, num_samples=10),
    head=dict(temporal=dict(embed_dims=16, num_layers=1, num_heads=2)),
)
loader = dict(batch_size=2, num_workers=0, persistent_workers=False,
              dataset=dict(data_root=data_root, ann_file='all.json'))
train_dataloader = loader
val_dataloader = loader
test_dataloader = loader
train_cfg = dict(max_epochs=2, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=1))
param_scheduler = [dict(type='ConstantLR', factor=0.5)]
"""


def write_noise(path: Path, *, num_frames: int, seed: int = 0) -> None:
    """Write a video of noise, 64 x 48 at 10 frames a second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, (64, 48))
    for frame in np.random.default_rng(seed).integers(0, 255, (num_frames, 48, 64, 3), np.uint8):
        writer.write(frame)
    writer.release()


def write_h264(path: Path, *, seed: int, rate: int = 10, seconds: int = 4) -> None:
    """Write a video of noise blocks that browsers play, with a key frame each second."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=rate, options=dict(g=str(rate)))
        stream.width, stream.height, stream.pix_fmt = 160, 128, 'yuv420p'
        for _ in range(seconds * rate):
            blocks = rng.integers(0, 255, (4, 5, 3), np.uint8).repeat(32, 0).repeat(32, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(blocks, 'rgb24')))
        container.mux(stream.encode())


def write_data_set(folder: Path, *, num_videos: int, num_frames: int = 12) -> None:
    """Write videos of noise with two captions each, and their annotation, all.json."""
    annotations: dict[str, dict] = {}
    for number in range(num_videos):
        write_noise(folder / f'{number}.mp4', num_frames=num_frames, seed=number)
        annotations[f'{number}.mp4'] = dict(
            captions=[f'clip number {number}', f'a clip called {number}'],
            meaning=f'{number}.mp4',
        )
        if number ^ 1 < num_videos:  # the last of an odd number has none
            annotations[f'{number}.mp4']['reversal'] = f'{number ^ 1}.mp4'
    (folder / 'all.json').write_text(json.dumps(annotations))


def make_project(folder: Path, *, num_videos: int, config: str = CONFIG) -> Path:
    """Write a config, videos and their annotation, as a user has them."""
    write_data_set(folder, num_videos=num_videos)
    (folder / 'config.py').write_text(config.replace('DATA_ROOT', str(folder)))
    return folder


class Page(HTMLParser):
    """Collects the texts, tags and attributes of a page."""

    def __init__(self, path):
        super().__init__()
        self.texts, self.tags, self.attributes = [], [], []
        self.source = path.read_text(encoding='utf-8')
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attr) for attr in attrs]

    def handle_data(self, data):
        self.texts += [data.strip()] if data.strip() else []

    def values(self, tag, name):
        return [value for *key, value in self.attributes if key == [tag, name]]
