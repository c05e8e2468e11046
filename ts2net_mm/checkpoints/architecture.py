"""Read a model's architecture off the shapes of its weights."""

import math
import re
from collections.abc import Mapping

from torch import Tensor

from .released import rename_key, without_wrapper

__all__ = ['config_from_state_dict']

CLIP_HEAD_DIMS = 64


def config_from_state_dict(state_dict: Mapping[str, Tensor]) -> dict:
    """Derive the config of the model that a released TS2-Net state dict belongs to.

    Settings that leave no trace in the weights (number of selected patches, sigma, temperature)
    keep the released values. Nothing is frozen: what trains is the training config's choice.

    Args:
        state_dict: Released TS2-Net weights (``clip.*``, ``transformerClip.*``,
            ``frame_position_embeddings.*``, ``visual_token_selector.*``).

    Returns:
        A config for ``MODELS.build``.

    Raises:
        ValueError: If a tensor that shows the architecture is missing; the message names it.
    """
    shapes = _Shapes(without_wrapper(state_dict))
    text_width = shapes['clip.token_embedding.weight'][1]
    out_dims = shapes['clip.text_projection'][1]
    return dict(
        type='TS2Net',
        backbone=_backbone_config(shapes),
        text_encoder=dict(
            type='CLIPTextEncoder',
            vocab_size=shapes['clip.token_embedding.weight'][0],
            context_length=shapes['clip.positional_embedding'][0],
            width=text_width,
            num_layers=shapes.count_blocks('clip.transformer.resblocks'),
            num_heads=_num_heads(text_width),
            out_dims=out_dims,
        ),
        neck=dict(type='TokenSelection', embed_dims=out_dims),
        head=dict(
            type='RetrievalHead',
            temporal=dict(
                type='TemporalTransformer',
                embed_dims=out_dims,
                num_layers=shapes.count_blocks('transformerClip.resblocks'),
                num_heads=_num_heads(out_dims),
                num_positions=shapes['frame_position_embeddings.weight'][0],
            ),
        ),
    )


def _backbone_config(shapes: '_Shapes') -> dict:
    width, _, patch_size, _ = shapes['clip.visual.conv1.weight']
    num_patches = shapes['clip.visual.positional_embedding'][0] - 1
    if math.isqrt(num_patches) ** 2 != num_patches:
        raise ValueError(
            f"'clip.visual.positional_embedding' is for {num_patches} patches, expected a square "
            'of a whole number'
        )
    return dict(
        type='TokenShiftViT',
        embed_dims=width,
        num_layers=shapes.count_blocks('clip.visual.transformer.resblocks'),
        num_heads=_num_heads(width),
        img_size=patch_size * math.isqrt(num_patches),
        patch_size=patch_size,
        out_dims=shapes['clip.visual.proj'][1],
        shift_layers=shapes.shift_layers(),
    )


def _num_heads(width: int) -> int:
    return max(1, width // CLIP_HEAD_DIMS)


class _Shapes:
    """Shapes of a state dict by key, with an error that tells what a missing key means."""

    def __init__(self, state_dict: Mapping[str, Tensor]) -> None:
        if not any(rename_key(key) for key in state_dict):
            raise ValueError(
                'this is no released TS2-Net state dict: none of its '
                f'{len(state_dict)} keys is known, the first are {list(state_dict)[:10]}'
            )
        self._state_dict = state_dict

    def __getitem__(self, key: str) -> tuple[int, ...]:
        if key not in self._state_dict:
            raise ValueError(f'the state dict lacks {key!r}, which shows the architecture')
        return tuple(self._state_dict[key].shape)

    def _block_indices(self, prefix: str, suffix: str) -> list[int]:
        pattern = re.compile(rf'^{re.escape(prefix)}\.(\d+)\.{suffix}')
        return sorted({int(m[1]) for key in self._state_dict if (m := pattern.match(key))})

    def count_blocks(self, prefix: str) -> int:
        indices = self._block_indices(prefix, '')
        if indices != list(range(len(indices))) or not indices:
            raise ValueError(
                f'the state dict holds blocks {indices} of {prefix!r}, expected 0, 1, 2, ...'
            )
        return len(indices)

    def shift_layers(self) -> tuple[int, ...]:
        return tuple(self._block_indices('clip.visual.transformer.resblocks', r'attn\.net\.'))
