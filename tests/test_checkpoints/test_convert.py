"""Released weights become ours."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS

from ts2net_mm.checkpoints import check_state_dict, config_from_state_dict, convert_state_dict

ROOT = Path(__file__).parents[2]
DATA = ROOT / 'tests' / 'data'


@pytest.fixture
def released() -> dict[str, torch.Tensor]:
    with np.load(DATA / 'tiny_released_weights.npz') as arrays:
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}


def test_architecture_is_read_off_the_shapes(released):
    config = config_from_state_dict(released)
    backbone, text, temporal = (
        config['backbone'],
        config['text_encoder'],
        config['head']['temporal'],
    )
    assert (backbone['embed_dims'], backbone['num_layers'], backbone['num_heads']) == (64, 12, 1)
    assert (backbone['img_size'], backbone['patch_size']) == (56, 8)
    assert backbone['shift_layers'] == (10, 11)
    assert (text['vocab_size'], text['context_length'], text['num_layers']) == (600, 77, 6)
    assert (temporal['num_layers'], temporal['num_positions']) == (4, 77)


def test_values_and_dtypes_stay(released):
    converted = convert_state_dict(released)
    assert {tensor.dtype for tensor in converted.values()} == {torch.float16}
    found = sum(tensor.double().sum() for tensor in converted.values())
    expected = sum(tensor.double().sum() for tensor in released.values())
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    MODELS.build(config_from_state_dict(released)).load_state_dict(converted)


def test_sizes_beside_the_weights_are_left_out(released):
    released['clip.input_resolution'] = torch.tensor(56)
    assert len(convert_state_dict(released)) == len(released) - 1


def test_prefix_of_a_parallel_wrapper_is_taken_off(released):
    wrapped = {f'module.{key}': tensor for key, tensor in released.items()}
    assert config_from_state_dict(wrapped) == config_from_state_dict(released)
    assert set(convert_state_dict(wrapped)) == set(convert_state_dict(released))


def test_patches_must_form_a_square(released):
    released['clip.visual.positional_embedding'] = torch.zeros(49, 64)
    with pytest.raises(ValueError, match='is for 48 patches, expected a square'):
        config_from_state_dict(released)


def test_a_fresh_process_needs_no_scope():
    """As in the README: neither a default scope nor a config is there."""
    code = f"""
import numpy as np, torch
from mmaction.registry import MODELS
from ts2net_mm.checkpoints import config_from_state_dict, convert_state_dict
arrays = np.load({str(DATA / 'tiny_released_weights.npz')!r})
released = {{key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}}
model = MODELS.build(config_from_state_dict(released))
model.load_state_dict(convert_state_dict(released))
print(model.data_preprocessor.mean.flatten().tolist()[0])
"""
    code = code.replace('from mmaction', 'import ts2net_mm\nfrom mmaction', 1)
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().startswith('122.77')


def test_unknown_and_missing_keys_are_listed(released):
    released['clip.visual.extra.weight'] = torch.zeros(3)
    del released['clip.visual.ln_post.bias']
    with pytest.raises(
        ValueError,
        match=r'1 unexpected: clip.visual.extra.weight; '
        r'1 missing: backbone.ln1.bias \(clip.visual.ln_post.bias\)',
    ):
        convert_state_dict(released)


def test_misshapen_tensor_is_named(released):
    released['clip.ln_final.weight'] = torch.zeros(32)
    with pytest.raises(
        ValueError, match=r'ln_final.weight \(clip.ln_final.weight\) \(32,\) instead of \(64,\)'
    ):
        convert_state_dict(released)


@pytest.mark.parametrize(
    'key', ['clip.visual.conv1.weight', 'clip.text_projection', 'frame_position_embeddings.weight']
)
def test_a_tensor_that_shows_the_architecture_is_missing(released, key):
    del released[key]
    with pytest.raises(ValueError, match=f"lacks '{key}'"):
        config_from_state_dict(released)


def test_gap_in_the_blocks(released):
    gapped = {key: value for key, value in released.items() if '.resblocks.3.' not in key}
    with pytest.raises(ValueError, match=r'holds blocks \[0, 1, 2, 4, .* expected 0, 1, 2'):
        config_from_state_dict(gapped)


def test_another_model(released):
    with pytest.raises(ValueError, match="none of its 1 keys is known.*'fc.weight'"):
        config_from_state_dict({'fc.weight': torch.zeros(2, 2)})
    with pytest.raises(ValueError, match='none of its 0 keys'):
        convert_state_dict({})


def test_only_the_first_ten_keys_are_listed():
    found = {f'key{number}': torch.zeros(1) for number in range(12)}
    with pytest.raises(ValueError, match=r'12 unexpected: key0, .*key9, \.\.\.$'):
        check_state_dict(found, {})
