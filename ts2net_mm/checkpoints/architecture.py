"""Read a model's architecture off the shapes of its weights."""

import math
import re
from collections.abc import Callable, Mapping

from torch import Tensor

__all__ = ['backbone_config', 'model_config']

CLIP_HEAD_DIMS = 64
# ViT-H/14, the one ViT of four times its width whose heads are larger
VISION_HEAD_DIMS = {1280: 80}


def model_config(
    tensors: Mapping[str, Tensor], *, shift_layers: tuple[int, ...], name_of: Callable[[str], str]
) -> dict:
    """Derive the config of the model that a state dict belongs to.

    Args:
        tensors: Weights under this package's names.
        shift_layers: Blocks of the ViT that shift tokens, which leaves no trace in the shapes.
        name_of: Gives the name of a key in the file, for errors.

    Raises:
        ValueError: If a tensor that shows the architecture is missing; the message names it.
    """
    shapes = Shapes(tensors, name_of)
    vocab_size, text_width = shapes.of('text_encoder.token_embedding.weight', 2)
    out_dims, _ = shapes.of('text_encoder.proj.weight', 2)
    selects = shapes.has('neck.')
    return dict(
        type='TS2Net',
        backbone=backbone_config(shapes, shift_layers),
        text_encoder=dict(
            type='CLIPTextEncoder',
            vocab_size=vocab_size,
            context_length=shapes.of('text_encoder.pos_embed', 2)[0],
            width=text_width,
            num_layers=shapes.count_blocks('text_encoder.layers'),
            num_heads=_num_heads(text_width),
            out_dims=out_dims,
        ),
        neck=dict(type='TokenSelection', embed_dims=out_dims) if selects else dict(type='CLSOnly'),
        head=dict(
            type='RetrievalHead',
            temporal=_temporal_config(shapes, out_dims),
            similarity=dict(
                type='FrameWeightedSimilarity'
                if selects or shift_layers
                else 'MeanPooledSimilarity'
            ),
        ),
    )


def backbone_config(shapes: 'Shapes', shift_layers: tuple[int, ...] = ()) -> dict:
    """Derive the config of the ViT; without a projection in the file it keeps its default size."""
    patches = 'backbone.pos_embed'
    width, _, patch_size, _ = shapes.of('backbone.patch_embed.projection.weight', 4)
    num_patches = shapes.of(patches, 3)[1] - 1
    if math.isqrt(num_patches) ** 2 != num_patches:
        raise ValueError(
            f'{shapes.name_of(patches)!r} is for {num_patches} patches, expected a square of a '
            'whole number'
        )
    config = dict(
        type='TokenShiftViT',
        embed_dims=width,
        num_layers=shapes.count_blocks('backbone.layers'),
        num_heads=_num_heads(width, VISION_HEAD_DIMS.get(width, CLIP_HEAD_DIMS)),
        img_size=patch_size * math.isqrt(num_patches),
        patch_size=patch_size,
        shift_layers=shift_layers,
    )
    if shapes.has('backbone.proj.'):
        config['out_dims'] = shapes.of('backbone.proj.weight', 2)[0]
    return config


def _temporal_config(shapes: 'Shapes', out_dims: int) -> dict | None:
    if shapes.has('head.temporal.lstm.'):
        num_layers = shapes.count('head.temporal.lstm.weight_ih_l')
        return dict(type='TemporalLSTM', embed_dims=out_dims, num_layers=num_layers)
    if shapes.has('head.temporal.'):
        return dict(
            type='TemporalTransformer',
            embed_dims=out_dims,
            num_layers=shapes.count_blocks('head.temporal.layers'),
            num_heads=_num_heads(out_dims),
            num_positions=shapes.of('head.temporal.pos_embed', 2)[0],
        )
    return None


def _num_heads(width: int, head_dims: int = CLIP_HEAD_DIMS) -> int:
    return max(1, width // head_dims)


class Shapes:
    """Shapes of a state dict by our keys, with errors that tell what a missing key means.

    Args:
        tensors: Weights under this package's names.
        name_of: Gives the name of a key in the file, for errors.
    """

    def __init__(self, tensors: Mapping[str, Tensor], name_of: Callable[[str], str]) -> None:
        self._tensors = tensors
        self.name_of = name_of

    def has(self, prefix: str) -> bool:
        """Tell whether any key begins so."""
        return any(key.startswith(prefix) for key in self._tensors)

    def of(self, key: str, num_axes: int) -> tuple[int, ...]:
        """Shape of a tensor.

        Raises:
            ValueError: If it is missing or has another number of axes.
        """
        name = self.name_of(key)
        if key not in self._tensors:
            raise ValueError(f'the state dict lacks {name!r}, which shows the architecture')
        shape = tuple(self._tensors[key].shape)
        if len(shape) != num_axes:
            raise ValueError(f'{name!r} has shape {shape}, expected {num_axes} axes')
        return shape

    def count(self, prefix: str) -> int:
        """Number of keys that begin so."""
        return sum(key.startswith(prefix) for key in self._tensors)

    def count_blocks(self, prefix: str) -> int:
        """Number of blocks in a stack.

        Raises:
            ValueError: If there is none or one is missing in between.
        """
        pattern = re.compile(rf'{re.escape(prefix)}\.(\d+)\.')
        indices = sorted({int(m[1]) for key in self._tensors if (m := pattern.match(key))})
        if indices != list(range(len(indices))) or not indices:
            raise ValueError(
                f'the state dict holds blocks {indices} of {prefix!r}, expected 0, 1, 2, ...'
            )
        return len(indices)
