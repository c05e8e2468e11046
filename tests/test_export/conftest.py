"""A tiny model on disk whose frames pass CLIP's own preprocessing, and its export."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny import model_config, write_noise

from ts2net_mm.apis import RetrievalInferencer
from ts2net_mm.apis.inferencer import build_model, load_config

CONFIG = """
custom_imports = dict(imports=['ts2net_mm'])
default_scope = 'mmaction'
model = MODEL
test_pipeline = [
    dict(type='VideoInit'),
    dict(type='SampleFramesByRate', num_frames=4, frame_rate=3),
    dict(type='VideoDecode'),
    dict(type='CLIPResize', size=32),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='TokenizeCaptions', max_words=12),
    dict(type='PackActionInputs', collect_keys=('imgs', 'text', 'frame_mask')),
]
"""


@pytest.fixture(scope='session')
def model_settings() -> dict:
    """The tiny model with CLIP's vocabulary."""
    settings = model_config()
    settings['text_encoder']['vocab_size'] = 49408
    return settings


@pytest.fixture(scope='session')
def project(tmp_path_factory, model_settings) -> Path:
    """A folder with a config, weights, and videos of 5, 12 and 30 frames at 10 a second."""
    folder = tmp_path_factory.mktemp('project')
    (folder / 'config.py').write_text(CONFIG.replace('MODEL', repr(model_settings)))
    torch.manual_seed(0)
    model = build_model(load_config(folder / 'config.py'))
    model.init_weights()
    torch.save(model.state_dict(), folder / 'weights.pth')
    for num_frames in (5, 12, 30):
        write_noise(folder / f'{num_frames}.mp4', num_frames=num_frames, seed=num_frames)
    return folder


@pytest.fixture(scope='session')
def load(project) -> Callable[..., RetrievalInferencer]:
    """Function that loads the model, with changed settings."""

    def load(**options) -> RetrievalInferencer:
        config = load_config(project / 'config.py')
        config.merge_from_dict(options)
        return RetrievalInferencer(config, project / 'weights.pth', device='cpu')

    return load


@pytest.fixture(scope='session')
def inferencer(load) -> RetrievalInferencer:
    """The model as its config says."""
    return load()
