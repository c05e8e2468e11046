"""Tiny models and the released reference."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS

from ts2net_mm.checkpoints import config_from_state_dict, convert_state_dict

DATA = Path(__file__).parents[1] / 'data'


def load_npz(name: str) -> dict[str, torch.Tensor]:
    """Read a reference file, fp16 values as fp32."""
    with np.load(DATA / name) as arrays:
        tensors = {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}
    return {
        key: tensor.float() if tensor.dtype == torch.float16 else tensor
        for key, tensor in tensors.items()
    }


@pytest.fixture(scope='session')
def released_weights() -> dict[str, torch.Tensor]:
    """Weights under the released names."""
    return load_npz('tiny_released_weights.npz')


@pytest.fixture(scope='session')
def expected() -> dict[str, torch.Tensor]:
    """What the released model computes."""
    return load_npz('tiny_expected.npz')


@pytest.fixture(scope='session')
def short_videos() -> dict[str, torch.Tensor]:
    """What the released model computes of videos shorter than the frame limit."""
    return load_npz('short_videos.npz')


@pytest.fixture(scope='session')
def expected_grad_norms() -> dict[str, float]:
    """L2 norm of every parameter's gradient in the released model."""
    return json.loads((DATA / 'tiny_expected_grad_norms.json').read_text())


@pytest.fixture
def released_model(released_weights):
    """Our model with the released weights."""
    model = MODELS.build(config_from_state_dict(released_weights))
    model.load_state_dict(convert_state_dict(released_weights))
    return model


@pytest.fixture
def tiny_config() -> dict:
    """A model that runs in milliseconds: 4 x 4 patches, up to 6 frames."""
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


@pytest.fixture
def tiny_model(tiny_config):
    """The tiny model with weights drawn from a fixed seed, in evaluation mode."""
    torch.manual_seed(0)
    model = MODELS.build(tiny_config)
    model.init_weights()
    return model.eval()
