"""Key names of the released TS2-Net checkpoints, and of OpenAI's CLIP inside them."""

import re
from collections.abc import Mapping

from torch import Tensor

__all__ = ['IGNORED_KEYS', 'rename_key', 'to_our_layout', 'without_wrapper']

# sizes that OpenAI stores next to the weights
IGNORED_KEYS = frozenset({'clip.input_resolution', 'clip.context_length', 'clip.vocab_size'})

_PREFIXES = (
    (r'clip\.visual\.transformer\.resblocks\.', 'backbone.layers.'),
    (r'clip\.transformer\.resblocks\.', 'text_encoder.layers.'),
    (r'transformerClip\.resblocks\.', 'head.temporal.layers.'),
    (r'clip\.visual\.conv1\.', 'backbone.patch_embed.projection.'),
    (r'clip\.visual\.ln_pre\.', 'backbone.pre_norm.'),
    (r'clip\.visual\.ln_post\.', 'backbone.ln1.'),
    (r'clip\.visual\.class_embedding$', 'backbone.cls_token'),
    (r'clip\.visual\.positional_embedding$', 'backbone.pos_embed'),
    (r'clip\.visual\.proj$', 'backbone.proj.weight'),
    (r'clip\.token_embedding\.', 'text_encoder.token_embedding.'),
    (r'clip\.positional_embedding$', 'text_encoder.pos_embed'),
    (r'clip\.ln_final\.', 'text_encoder.ln_final.'),
    (r'clip\.text_projection$', 'text_encoder.proj.weight'),
    (r'clip\.logit_scale$', 'head.logit_scale'),
    (r'frame_position_embeddings\.weight$', 'head.temporal.pos_embed'),
    (r'visual_token_selector\.score_predictor\.in_conv\.', 'neck.token_mlp.'),
    (r'visual_token_selector\.score_predictor\.out_conv\.', 'neck.score_mlp.'),
)

# inside a block; `net` is there where the released code wrapped the attention for the shift
_BLOCK = (
    (r'\.attn\.(?:net\.)?in_proj_(weight|bias)$', r'.attn.qkv.\1'),
    (r'\.attn\.(?:net\.)?out_proj\.', '.attn.proj.'),
    (r'\.mlp\.c_fc\.', '.ffn.layers.0.0.'),
    (r'\.mlp\.c_proj\.', '.ffn.layers.1.'),
    (r'\.ln_1\.', '.ln1.'),
    (r'\.ln_2\.', '.ln2.'),
)


def without_wrapper(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take off the ``module.`` that a parallel wrapper puts before every key."""
    return {key.removeprefix('module.'): tensor for key, tensor in state_dict.items()}


def rename_key(key: str) -> str | None:
    """Name of a released key in this package, or None where the release knows no such key."""
    for pattern, replacement in _PREFIXES:
        renamed, found = re.subn('^' + pattern, replacement, key)
        if found:
            break
    else:
        return None
    if '.layers.' in renamed:
        for pattern, replacement in _BLOCK:
            renamed = re.sub(pattern, replacement, renamed)
    return renamed


def to_our_layout(name: str, tensor: Tensor) -> Tensor:
    """Bring a renamed tensor into this package's shape."""
    if name == 'backbone.cls_token':
        return tensor.view(1, 1, -1)
    if name == 'backbone.pos_embed':
        return tensor[None]
    if name in ('backbone.proj.weight', 'text_encoder.proj.weight'):
        return tensor.T.contiguous()
    return tensor
