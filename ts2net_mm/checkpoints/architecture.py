"""Derive a model's config from the shapes of its weights."""

import math
import re
from collections.abc import Callable, Mapping

from torch import Tensor

__all__ = ['Shapes', 'backbone_config', 'model_config']

CLIP_HEAD_DIMS = 64
# ViT-H/14 has larger heads than the other CLIPs
VISION_HEAD_DIMS = {1280: 80}


class Shapes:
    """Shapes of weights under this package's keys; a missing key is an error that explains it.

    Args:
        tensors: Weights under this package's keys.
        source_key: Gives the name of a key in the file, for errors.
        name: What errors call the weights.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], source_key: Callable[[str], str], name: str
    ) -> None:
        self.keys = tuple(tensors)
        self._tensors = tensors
        self._source_key = source_key
        self._name = name

    def get(self, key: str, num_axes: int) -> tuple[int, ...]:
        """Return the shape of a tensor.

        Raises:
            ValueError: If it is missing or has another number of axes.
        """
        source = self._source_key(key)
        if key not in self._tensors:
            raise ValueError(f'{self._name} lacks {source!r}, which shows the architecture')
        shape = tuple(self._tensors[key].shape)
        if len(shape) != num_axes:
            raise ValueError(
                f'{self._name}: {source!r} has shape {shape}, expected {num_axes} axes'
            )
        return shape

    def has(self, prefix: str) -> bool:
        """Tell whether any key starts with a prefix."""
        return any(key.startswith(prefix) for key in self.keys)

    def count_blocks(self, prefix: str) -> int:
        """Return the number of blocks in a stack.

        Raises:
            ValueError: If there is none, or a block in between is missing.
        """
        pattern = re.compile(rf'{re.escape(prefix)}\.(\d+)\.')
        indices = sorted({int(m[1]) for key in self.keys if (m := pattern.match(key))})
        if indices != list(range(len(indices))) or not indices:
            raise ValueError(
                f'{self._name} holds blocks {indices} of {prefix!r}, expected 0, 1, 2, ...'
            )
        return len(indices)

    def patches_per_side(self) -> int:
        """Return the number of patches along a side of the image.

        Raises:
            ValueError: If the patches do not form a square.
        """
        key = 'backbone.pos_embed'
        num_patches = self.get(key, 3)[1] - 1
        if math.isqrt(num_patches) ** 2 != num_patches:
            raise ValueError(
                f'{self._name}: {self._source_key(key)!r} is for {num_patches} patches, expected '
                'a square of a whole number'
            )
        return math.isqrt(num_patches)


def model_config(shapes: Shapes, shift_layers: tuple[int, ...]) -> dict:
    """Derive the config of the model that weights belong to.

    Args:
        shapes: Shapes of the weights.
        shift_layers: Blocks of the ViT that shift tokens, which no shape shows.

    Raises:
        ValueError: If a tensor that shows the architecture is missing; the message names it.
    """
    vocab_size, text_width = shapes.get('text_encoder.token_embedding.weight', 2)
    out_dims, _ = shapes.get('text_encoder.proj.weight', 2)
    selects = shapes.has('neck.')
    # CLIP4Clip, and CLIP on its own, use the mean of the frames
    similarity = 'FrameWeightedSimilarity' if selects or shift_layers else 'MeanPooledSimilarity'
    return dict(
        type='TS2Net',
        backbone=backbone_config(shapes, shift_layers),
        text_encoder=dict(
            type='CLIPTextEncoder',
            vocab_size=vocab_size,
            context_length=shapes.get('text_encoder.pos_embed', 2)[0],
            width=text_width,
            num_layers=shapes.count_blocks('text_encoder.layers'),
            num_heads=_num_heads(text_width),
            out_dims=out_dims,
        ),
        neck=dict(type='TokenSelection', embed_dims=out_dims) if selects else dict(type='CLSOnly'),
        head=dict(
            type='RetrievalHead',
            temporal=_temporal_config(shapes, out_dims),
            similarity=dict(type=similarity),
        ),
    )


def backbone_config(shapes: Shapes, shift_layers: tuple[int, ...] = ()) -> dict:
    """Derive the config of the ViT; its output has the default size if there is no projection."""
    width, channels, patch_size, _ = shapes.get('backbone.patch_embed.projection.weight', 4)
    config = dict(
        type='TokenShiftViT',
        embed_dims=width,
        num_layers=shapes.count_blocks('backbone.layers'),
        num_heads=_num_heads(width, VISION_HEAD_DIMS.get(width, CLIP_HEAD_DIMS)),
        img_size=patch_size * shapes.patches_per_side(),
        patch_size=patch_size,
        shift_layers=shift_layers,
    )
    if channels > 3:
        config['patch_frames'] = channels // 3
    if shapes.has('backbone.proj.'):
        config['out_dims'] = shapes.get('backbone.proj.weight', 2)[0]
    return config


def _temporal_config(shapes: Shapes, out_dims: int) -> dict | None:
    if shapes.has('head.temporal.lstm.'):
        weights = 'head.temporal.lstm.weight_ih_l'
        num_layers = sum(key.startswith(weights) for key in shapes.keys)
        return dict(type='TemporalLSTM', embed_dims=out_dims, num_layers=num_layers)
    if shapes.has('head.temporal.'):
        return dict(
            type='TemporalTransformer',
            embed_dims=out_dims,
            num_layers=shapes.count_blocks('head.temporal.layers'),
            num_heads=_num_heads(out_dims),
            num_positions=shapes.get('head.temporal.pos_embed', 2)[0],
        )
    return None


def _num_heads(width: int, head_dims: int = CLIP_HEAD_DIMS) -> int:
    return max(1, width // head_dims)
