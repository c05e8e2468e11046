"""Records of tiny models on random frames."""

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from tiny import model_config

from ts2net_mm.visualization import TokenRecord, record_tokens


@pytest.fixture(scope='session')
def inputs():
    """Five frames, of which the last is padding."""
    rng = np.random.default_rng(0)
    return dict(
        imgs=rng.integers(0, 255, (5, 3, 32, 32), np.uint8),
        frame_mask=np.array([True, True, True, True, False]),
    )


@pytest.fixture(scope='session')
def build():
    """Function that builds a tiny model in eval mode; ``parts`` replace those of its config."""

    def build(**parts):
        config = model_config()
        for name, part in parts.items():
            config[name] = dict(config[name] if 'type' not in part else {}, **part)
        torch.manual_seed(0)
        return MODELS.build(config).eval()

    return build


@pytest.fixture(scope='session')
def record(inputs):
    """Function that records a model on the five frames."""

    def record(model, **changes) -> TokenRecord:
        text = model.encode_text(torch.arange(1, 13)[None]).detach()
        settings = dict(name='clip.mp4', caption='a $5 circle, then a $10 one') | changes
        return record_tokens(model, inputs, text, **settings)

    return record
