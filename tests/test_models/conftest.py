"""Tiny models and the released reference."""

import json

import pytest
import torch
from mmaction.registry import MODELS
from tiny import DATA, model_config, reference

from ts2net_mm.checkpoints import config_from_state_dict, convert_state_dict


@pytest.fixture(scope='session')
def released_weights() -> dict[str, torch.Tensor]:
    """Weights under the released names."""
    return reference('tiny_released_weights.npz')


@pytest.fixture(scope='session')
def expected() -> dict[str, torch.Tensor]:
    """What the released model computes."""
    return reference('tiny_expected.npz')


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
    """A model that runs in milliseconds."""
    return model_config()


@pytest.fixture
def tiny_model(tiny_config):
    """The tiny model with weights drawn from a fixed seed, in evaluation mode."""
    torch.manual_seed(0)
    model = MODELS.build(tiny_config)
    model.init_weights()
    return model.eval()
