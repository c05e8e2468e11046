"""Key names of Hugging Face's CLIPModel."""

import re
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from .base import Format
from .key_map import FLAT, ROWS, SAME, KeyMap, Layout

__all__ = ['HuggingFace']

_PARTS = ('q_proj', 'k_proj', 'v_proj')
_PART = re.compile(r'(.*\.self_attn\.)[qkv]_proj\.(weight|bias)')
_QKV = re.compile(r'(.*\.self_attn\.)qkv_proj\.(weight|bias)')


def _block_pairs(ours: str, theirs: str) -> list[tuple[str, str, Layout]]:
    parts = {
        'ln1.{p}': 'layer_norm1.{p}',
        'attn.qkv.{p}': 'self_attn.qkv_proj.{p}',
        'attn.proj.{p}': 'self_attn.out_proj.{p}',
        'ln2.{p}': 'layer_norm2.{p}',
        'ffn.layers.0.0.{p}': 'mlp.fc1.{p}',
        'ffn.layers.1.{p}': 'mlp.fc2.{p}',
    }
    return [(f'{ours}.{{n}}.{a}', f'{theirs}.{{n}}.{b}', SAME) for a, b in parts.items()]


class HuggingFace(Format):
    """A ViT CLIP as transformers saves it; query, key and value are three tensors there."""

    name = 'Hugging Face'
    new = ('neck.', 'head.temporal.')
    key_map = KeyMap(
        [
            ('backbone.cls_token', 'vision_model.embeddings.class_embedding', FLAT),
            ('backbone.pos_embed', 'vision_model.embeddings.position_embedding.weight', ROWS),
            (
                'backbone.patch_embed.projection.weight',
                'vision_model.embeddings.patch_embedding.weight',
            ),
            # spelled so in transformers
            ('backbone.pre_norm.{p}', 'vision_model.pre_layrnorm.{p}'),
            *_block_pairs('backbone.layers', 'vision_model.encoder.layers'),
            ('backbone.ln1.{p}', 'vision_model.post_layernorm.{p}'),
            ('backbone.proj.weight', 'visual_projection.weight'),
            (
                'text_encoder.token_embedding.weight',
                'text_model.embeddings.token_embedding.weight',
            ),
            ('text_encoder.pos_embed', 'text_model.embeddings.position_embedding.weight'),
            *_block_pairs('text_encoder.layers', 'text_model.encoder.layers'),
            ('text_encoder.ln_final.{p}', 'text_model.final_layer_norm.{p}'),
            ('text_encoder.proj.weight', 'text_projection.weight'),
            ('head.logit_scale', 'logit_scale'),
        ]
    )

    def recognises(self, keys: Collection[str]) -> bool:
        """Tell whether a state dict with these keys is of this format."""
        return any(key.startswith(('vision_model.', 'text_model.')) for key in keys)

    def ignores(self, key: str) -> bool:
        """Tell whether a key is the row 0, 1, 2, ... that old files hold for their positions."""
        return key.endswith('.position_ids')

    def to_ours(self, state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """Join query, key and value, then rename."""
        joined: dict[str, Tensor] = {}
        for key, tensor in state_dict.items():
            if not (found := _PART.fullmatch(key)):
                joined[key] = tensor
                continue
            prefix, suffix = found.groups()
            names = [f'{prefix}{part}.{suffix}' for part in _PARTS]
            # an incomplete triple stays under its own names, which are then unknown
            if all(name in state_dict for name in names):
                joined.setdefault(
                    f'{prefix}qkv_proj.{suffix}', torch.cat([state_dict[name] for name in names])
                )
            else:
                joined[key] = tensor
        return super().to_ours(joined)

    def from_ours(self, tensors: Mapping[str, Tensor], config: dict) -> dict[str, Tensor]:
        """Rename, then part query, key and value."""
        parted: dict[str, Tensor] = {}
        for key, tensor in super().from_ours(tensors, config).items():
            if found := _QKV.fullmatch(key):
                prefix, suffix = found.groups()
                for part, rows in zip(_PARTS, tensor.chunk(3), strict=True):
                    parted[f'{prefix}{part}.{suffix}'] = rows.contiguous()
            else:
                parted[key] = tensor
        return parted
