"""Key names of MMPretrain's CLIP models."""

from collections.abc import Collection

from .base import Format
from .key_map import SAME, TRANSPOSED, KeyMap, Layout
from .openai import text_pairs

__all__ = ['MMPretrainCLIP', 'MMPretrainViT']


def _vision_pairs(prefix: str) -> list[tuple[str, str, Layout]]:
    """Names of MMPretrain's ViT, on which ours is built."""
    names = (
        'cls_token',
        'pos_embed',
        'patch_embed.projection.weight',
        'pre_norm.{p}',
        'layers.{n}.ln1.{p}',
        'layers.{n}.attn.qkv.{p}',
        'layers.{n}.attn.proj.{p}',
        'layers.{n}.ln2.{p}',
        'layers.{n}.ffn.layers.0.0.{p}',
        'layers.{n}.ffn.layers.1.{p}',
        'ln1.{p}',
    )
    return [(f'backbone.{name}', f'{prefix}{name}', SAME) for name in names]


class MMPretrainCLIP(Format):
    """MMPretrain's CLIP and CLIPZeroShot: its own ViT beside OpenAI's text names."""

    name = 'MMPretrain CLIP'
    new = ('neck.', 'head.temporal.')
    key_map = KeyMap(
        [
            *_vision_pairs('visual.'),
            ('backbone.proj.weight', 'visual_proj.proj', TRANSPOSED),
            *text_pairs(),
        ]
    )

    def recognises(self, keys: Collection[str]) -> bool:
        """Tell whether a state dict with these keys is of this format."""
        return any(key.startswith(('visual.layers.', 'visual_proj.')) for key in keys)

    def ignores(self, key: str) -> bool:
        """Tell whether a key is one of the sizes that its converter copies from OpenAI's file."""
        return key in ('input_resolution', 'context_length', 'vocab_size')


class MMPretrainViT(Format):
    """An image classifier on CLIP's ViT: no text, and no projection into the joint space."""

    name = 'MMPretrain CLIP-ViT'
    new = ('text_encoder.', 'backbone.proj.', 'head.', 'neck.')
    key_map = KeyMap(_vision_pairs('backbone.'))

    def recognises(self, keys: Collection[str]) -> bool:
        """Tell whether a state dict with these keys is of this format."""
        return any(key.startswith('backbone.layers.') for key in keys) and not any(
            key.startswith(('text_encoder.', 'head.logit_scale')) for key in keys
        )

    def ignores(self, key: str) -> bool:
        """Tell whether a key belongs to the classifier on top."""
        return key.startswith(('head.', 'neck.'))
