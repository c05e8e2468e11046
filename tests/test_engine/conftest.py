"""The tiny model with the released weights, frozen as in the recipe."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope

from ts2net_mm.checkpoints import config_from_state_dict, convert_state_dict

DATA = Path(__file__).parents[1] / 'data'


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmaction')


@pytest.fixture(scope='session')
def released_weights() -> dict[str, torch.Tensor]:
    """fp32 weights under the released names."""
    with np.load(DATA / 'tiny_released_weights.npz') as arrays:
        return {key: torch.from_numpy(arrays[key]).float() for key in arrays.files}


@pytest.fixture
def model(released_weights):
    """Our model with these weights, embeddings and first LayerNorm frozen."""
    config = config_from_state_dict(released_weights)
    for part in ('backbone', 'text_encoder'):
        config[part]['frozen_stages'] = 0
    model = MODELS.build(config)
    model.load_state_dict(convert_state_dict(released_weights))
    return model
