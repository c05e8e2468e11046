"""Checkpoints as the released code writes them: with the ten tensors that it never uses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS

from ts2net_mm.checkpoints import (
    config_of,
    convert_checkpoint,
    convert_state_dict,
    load_weights,
    read_checkpoint,
)

DATA = Path(__file__).parents[1] / 'data'
NOTE = (
    '10 tensors skipped, which the released model saves but never reads: text_token_selector.*, '
    'visual_prompt_encoder.*'
)


@pytest.fixture
def unused() -> dict[str, torch.Tensor]:
    """The ten, under their names."""
    with np.load(DATA / 'released_unused.npz') as arrays:
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}


@pytest.fixture(params=['fp32', 'fp16 and fp32', 'module.'])
def path(request, released, unused, tmp_path) -> Path:
    """A file of the release."""
    weights = released | unused
    assert len(weights) == len(released) + 10 == 294
    if request.param != 'fp16 and fp32':
        weights = {key: tensor.float() for key, tensor in weights.items()}
    else:
        fp16 = ('.attn.', '.mlp.', 'conv1')
        weights = {k: t if any(p in k for p in fp16) else t.float() for k, t in weights.items()}
    prefix = 'module.' if request.param == 'module.' else ''
    path = tmp_path / 'pytorch_model.bin.4'
    torch.save({prefix + key: tensor for key, tensor in weights.items()}, path)
    return path


def test_they_load_and_the_log_says_what_was_left_out(path, released, log_records):
    checkpoint = read_checkpoint(path)
    model = MODELS.build(config_of(checkpoint))
    load_weights(model, checkpoint)
    expected = convert_state_dict(released)
    for key, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, expected[key].float(), rtol=0, atol=0)
    assert any(NOTE in record.getMessage() for record in log_records)


def test_they_convert(path, released, log_records):
    for target in ('ts2net_mm', 'released'):
        written, _ = convert_checkpoint(read_checkpoint(path), target)
        assert len(written) == len(released)
    assert sum(NOTE in record.getMessage() for record in log_records) == 2


def test_other_tensors_are_refused(path, released, unused):
    for name in ('text_token_selector.score_predictor.out_conv.3.weight', 'visual_prompt.x'):
        with pytest.raises(ValueError, match=f'1 unexpected: {name}'):
            convert_state_dict(released | unused | {name: torch.zeros(3)})
