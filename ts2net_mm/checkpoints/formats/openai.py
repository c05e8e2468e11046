"""OpenAI's key names, which open_clip shares."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from .base import Format
from .key_map import FLAT, ROWS, SAME, TRANSPOSED, KeyMap, Layout

__all__ = ['OpenAI', 'OpenCLIP', 'block_pairs', 'text_pairs', 'vision_pairs']

_Pairs = list[tuple[str, str, Layout]]
_SIZES = ('input_resolution', 'context_length', 'vocab_size')


def block_pairs(ours: str, theirs: str) -> _Pairs:
    """Names inside a stack of transformer blocks."""
    parts = {
        'ln1.{p}': 'ln_1.{p}',
        'attn.qkv.{p}': 'attn.in_proj_{p}',
        'attn.proj.{p}': 'attn.out_proj.{p}',
        'ln2.{p}': 'ln_2.{p}',
        'ffn.layers.0.0.{p}': 'mlp.c_fc.{p}',
        'ffn.layers.1.{p}': 'mlp.c_proj.{p}',
    }
    return [(f'{ours}.{{n}}.{a}', f'{theirs}.{{n}}.{b}', SAME) for a, b in parts.items()]


def vision_pairs(prefix: str = '') -> _Pairs:
    """Names of the ViT."""
    return [
        ('backbone.cls_token', f'{prefix}visual.class_embedding', FLAT),
        ('backbone.pos_embed', f'{prefix}visual.positional_embedding', ROWS),
        ('backbone.patch_embed.projection.weight', f'{prefix}visual.conv1.weight', SAME),
        ('backbone.pre_norm.{p}', f'{prefix}visual.ln_pre.{{p}}', SAME),
        *block_pairs('backbone.layers', f'{prefix}visual.transformer.resblocks'),
        ('backbone.ln1.{p}', f'{prefix}visual.ln_post.{{p}}', SAME),
        ('backbone.proj.weight', f'{prefix}visual.proj', TRANSPOSED),
    ]


def text_pairs(prefix: str = '') -> _Pairs:
    """Names of the text encoder and of the logit scale."""
    return [
        ('text_encoder.token_embedding.weight', f'{prefix}token_embedding.weight', SAME),
        ('text_encoder.pos_embed', f'{prefix}positional_embedding', SAME),
        *block_pairs('text_encoder.layers', f'{prefix}transformer.resblocks'),
        ('text_encoder.ln_final.{p}', f'{prefix}ln_final.{{p}}', SAME),
        ('text_encoder.proj.weight', f'{prefix}text_projection', TRANSPOSED),
        ('head.logit_scale', f'{prefix}logit_scale', SAME),
    ]


class OpenCLIP(Format):
    """A ViT CLIP as open_clip saves it."""

    name = 'open_clip'
    key_map = KeyMap([*vision_pairs(), *text_pairs()])
    new = ('neck.', 'head.temporal.')

    def recognises(self, keys: Collection[str]) -> bool:
        """Tell whether a state dict with these keys is of this format."""
        return any(
            key.startswith(('visual.transformer.', 'transformer.resblocks.')) for key in keys
        )

    def ignores(self, key: str) -> bool:
        """Tell whether a key is a size or the causal mask, which old files hold."""
        return key in _SIZES or key.rpartition('.')[2] == 'attn_mask'


class OpenAI(OpenCLIP):
    """A ViT CLIP as OpenAI released it: open_clip's names, and three sizes beside the weights."""

    name = 'OpenAI'

    def recognises(self, keys: Collection[str]) -> bool:
        """Tell whether a state dict with these keys is of this format."""
        return super().recognises(keys) and any(size in keys for size in _SIZES)

    def from_ours(self, tensors: Mapping[str, Tensor], config: dict) -> dict[str, Tensor]:
        """Rename and lay out this package's tensors, and add the sizes."""
        written = super().from_ours(tensors, config)
        text = config['text_encoder']
        sizes = (config['backbone']['img_size'], text['context_length'], text['vocab_size'])
        return written | {
            name: torch.tensor(size) for name, size in zip(_SIZES, sizes, strict=True)
        }
